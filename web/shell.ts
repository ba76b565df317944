// Build step: which files the service worker keeps. What an officer uses, and all that it needs; no maps and no pictures.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import type { Plugin, Rollup } from 'vite'

const WORKER = 'worker.js'
const PUBLIC = new URL('./public/', import.meta.url)
/** Views that are loaded when they are opened, and that an officer opens without network. */
const VIEWS = ['SiteView', 'AlertsView', 'RectificationsView', 'RectificationView', 'AccountView', 'MissingView']

/** Files that a chunk needs before it runs: itself, what it imports, and their style sheets. */
function closure(bundle: Rollup.OutputBundle, name: string, found: Set<string>): void {
  const chunk = bundle[name]
  if (found.has(name) || chunk?.type !== 'chunk') return
  found.add(name)
  for (const sheet of chunk.viteMetadata?.importedCss ?? []) found.add(sheet)
  for (const one of chunk.imports) closure(bundle, one, found)
}

export function shell(): Plugin {
  return {
    name: 'smartsite-shell',
    apply: 'build',
    enforce: 'post',
    buildStart() {
      this.emitFile({ type: 'chunk', id: new URL('./worker/shell.ts', import.meta.url).pathname, fileName: WORKER })
    },
    generateBundle: {
      order: 'post',
      handler(_options, bundle) {
        const worker = bundle[WORKER]
        const page = bundle['index.html']
        if (worker?.type !== 'chunk' || page?.type !== 'asset') throw new Error('the build has no worker or no page')
        if (worker.imports.length) throw new Error(`the worker imports ${worker.imports.join(', ')}: it must stand alone`)
        const found = new Set<string>()
        for (const chunk of Object.values(bundle)) {
          if (chunk.type !== 'chunk' || chunk === worker) continue
          if (chunk.isEntry || VIEWS.includes(chunk.name)) closure(bundle, chunk.fileName, found)
        }
        const missing = VIEWS.filter((view) => !Object.values(bundle).some((one) => one.type === 'chunk' && one.name === view))
        if (missing.length) throw new Error(`views of the shell that the build does not have: ${missing.join(', ')}`)
        const beside = readdirSync(PUBLIC, { withFileTypes: true }).filter((one) => one.isFile()).map((one) => one.name).sort()
        const files = ['index.html', ...[...found].sort(), ...beside].map((name) => `/${name}`)
        // Assets carry their content in their name, the others do not.
        const version = createHash('sha256').update(files.join('\n')).update(page.source)
        for (const name of beside) version.update(readFileSync(new URL(name, PUBLIC)))
        version.update(worker.code)
        worker.code = worker.code
          .replaceAll('SHELL_FILES', JSON.stringify(files))
          .replaceAll('SHELL_VERSION', JSON.stringify(version.digest('hex').slice(0, 16)))
      },
    },
  }
}
