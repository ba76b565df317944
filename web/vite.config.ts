import { fileURLToPath, URL } from 'node:url'
import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vitest/config'
import { shell } from './shell'

// The development server hands the API and both WebSockets on to a running `smartsite up`.
const api = process.env.SMARTSITE_API ?? 'http://127.0.0.1:8000'

export default defineConfig({
  plugins: [vue(), shell()],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  define: { __VUE_I18N_FULL_INSTALL__: false, __VUE_I18N_LEGACY_API__: false, __INTLIFY_PROD_DEVTOOLS__: false },
  build: {
    outDir: '../smartsite/static',
    emptyOutDir: true,
    // Nothing becomes a data: address: the content security policy allows images from the origin only.
    assetsInlineLimit: 0,
    target: 'es2022',
    chunkSizeWarningLimit: 800,
  },
  server: { proxy: { '/api': { target: api, ws: true } } },
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
})
