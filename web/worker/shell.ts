// The service worker: keeps the page's own files, so that it opens without network. It never sees to the API.
/** Written in by the build (web/shell.ts): what to keep, and a name that changes with any of it. */
declare const SHELL_FILES: string[]
declare const SHELL_VERSION: string

const worker = self as unknown as ServiceWorkerGlobalScope
const PREFIX = 'smartsite-shell-'
const NAME = PREFIX + SHELL_VERSION
const PAGE = '/index.html'
/** Only these are named by their content; an old copy of them is as good as a new one. */
const HASHED = '/assets/'
/** On a network that is there and carries nothing the kept page is shown after this time, ms. */
const PATIENCE = 4_000
const kept = new Set(SHELL_FILES)

/** All or nothing: a worker whose files did not all arrive is not installed, and tried again at the next visit. */
async function install(): Promise<void> {
  const cache = await caches.open(NAME)
  await Promise.all(
    [...kept].map(async (path) => {
      const known = path.startsWith(HASHED) ? await caches.match(path, { ignoreVary: true }) : undefined
      const response = known ?? (await fetch(path, { cache: 'no-cache', credentials: 'same-origin' }))
      if (!response.ok || response.redirected) throw new Error(`${path} of the page cannot be kept: HTTP ${response.status}`)
      await cache.put(path, response)
    }),
  )
}

async function takeOver(): Promise<void> {
  for (const name of await caches.keys()) if (name.startsWith(PREFIX) && name !== NAME) await caches.delete(name)
  await worker.clients.claim()
}

/** The server's page where it comes in time, so that whoever has a network never begins with an old one. */
async function page(request: Request): Promise<Response> {
  const own = async (): Promise<Response | undefined> => (await caches.open(NAME)).match(PAGE, { ignoreVary: true })
  const asked = fetch(request)
  const late = new Promise<Response | undefined>((done) => setTimeout(() => done(own()), PATIENCE))
  try {
    const response = (await Promise.race([asked, late])) ?? (await asked)
    // A proxy whose server is away; a redirect is opaque here and goes on as it is.
    return response.status >= 500 ? ((await own()) ?? response) : response
  } catch (error) {
    const known = await own()
    if (!known) throw error
    return known
  }
}

async function file(request: Request, path: string): Promise<Response> {
  return (await (await caches.open(NAME)).match(path, { ignoreVary: true })) ?? fetch(request)
}

/** Names of files have a dot; what else the server answers itself (its API, links of messages, health) is never the page. */
const ofThePage = (path: string): boolean => !/^\/(api|a|healthz|metrics)(\/|$)/.test(path) && !path.slice(path.lastIndexOf('/')).includes('.')

worker.addEventListener('install', (event) => event.waitUntil(install()))
worker.addEventListener('activate', (event) => event.waitUntil(takeOver()))
worker.addEventListener('fetch', (event) => {
  const { request } = event
  const { origin, pathname } = new URL(request.url)
  if (request.method !== 'GET' || origin !== worker.location.origin) return
  if (request.mode === 'navigate') {
    if (ofThePage(pathname)) event.respondWith(page(request))
  } else if (kept.has(pathname) && pathname !== PAGE) event.respondWith(file(request, pathname))
})
/** A page tells which script it began with: one of this build needs no reload, another is told so. */
worker.addEventListener('message', (event) => {
  const { entry, takeOver: wanted } = event.data as { entry?: string; takeOver?: boolean }
  const same = entry !== undefined && kept.has(entry)
  if (wanted || same) void worker.skipWaiting()
  event.ports[0]?.postMessage(same)
})
