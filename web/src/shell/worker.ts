// The service worker that lets the page open without network, and the changes from one version of the page to the next.
import { ref } from 'vue'
import type { Router } from 'vue-router'

/** A screen of the centre is never opened anew: it asks for a new version itself, ms. */
const ASK_AGAIN = 3600_000
const RELOADED = 'smartsite.reloaded'

/** Set when the server has a newer page than this one: whoever is at work chooses when to reload. */
export const newer = ref(false)

/** Path of the script that this page began with: it names the version. */
const entry = (): string => {
  const script = document.querySelector<HTMLScriptElement>('script[type=module][src]')
  return script ? new URL(script.src).pathname : ''
}

let waiting: ServiceWorker | null = null
let reloading = false

/** Whether the worker keeps the version of the page that runs here; if so, one that waits takes over by itself. */
function keepsThisPage(worker: ServiceWorker): Promise<boolean> {
  return new Promise((done) => {
    const channel = new MessageChannel()
    channel.port1.onmessage = (event: MessageEvent<boolean>) => done(event.data)
    worker.postMessage({ entry: entry() }, [channel.port2])
  })
}

async function compare(worker: ServiceWorker): Promise<void> {
  const same = await keepsThisPage(worker)
  if (same) return
  waiting = worker.state === 'installed' ? worker : null
  newer.value = true
}

/** Without a secure context (plain http) browsers have no workers: the page then needs the network to be opened. */
export async function keepShell(): Promise<void> {
  if (!import.meta.env.PROD || !('serviceWorker' in navigator)) return
  const { serviceWorker } = navigator
  const controlled = serviceWorker.controller !== null
  serviceWorker.addEventListener('controllerchange', () => {
    if (reloading) location.reload()
    else if (controlled && serviceWorker.controller) void compare(serviceWorker.controller)
  })
  let registration: ServiceWorkerRegistration
  try {
    registration = await serviceWorker.register('/worker.js', { updateViaCache: 'none' })
  } catch (error) {
    // No network at this start, or a browser that forbids workers: what is there goes on as it is.
    console.info(`the page is not kept for a start without network: ${String(error)}`)
    return
  }
  const follow = (worker: ServiceWorker | null): void => {
    if (!worker) return
    const installed = (): void => {
      // The first one there is controls nothing older.
      if (worker.state === 'installed' && registration.active) void compare(worker)
    }
    worker.addEventListener('statechange', installed)
    installed()
  }
  registration.addEventListener('updatefound', () => follow(registration.installing))
  follow(registration.installing)
  follow(registration.waiting)
  const look = (): void => void registration.update().catch(() => undefined)
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && look())
  setInterval(look, ASK_AGAIN)
}

/** To the newer version, at a press of the button. */
export function reload(): void {
  if (waiting?.state === 'installed') {
    reloading = true
    waiting.postMessage({ takeOver: true })
  } else location.reload()
}

/**
 * A view that is loaded when it is opened may be gone from the server with its version: then the whole page is loaded
 * anew, at the place one wanted to go to. Once for a version, so that a server that is broken does not make it turn.
 */
export function recoverMissing(router: Router, tell: () => void): void {
  router.onError(async (error: unknown, to) => {
    if (!(error instanceof Error) || !/dynamically imported module|module script failed|preload CSS/i.test(error.message)) {
      console.error(error)
      return
    }
    try {
      const page = await (await fetch('/index.html', { cache: 'no-store' })).text()
      if (page.includes('/assets/') && !page.includes(entry()) && sessionStorage.getItem(RELOADED) !== entry()) {
        sessionStorage.setItem(RELOADED, entry())
        location.assign(to.fullPath)
        return
      }
    } catch {
      // No network, or a storage that is shut off: told below.
    }
    tell()
  })
}
