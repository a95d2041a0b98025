import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

/** Where the developer's backend is; the built page always talks to its own origin. */
const backend = process.env.CLOUDSCRIBE_API ?? 'http://127.0.0.1:8080'

const proxy = {
  '/api': { target: backend, ws: true },
  '/access.json': { target: backend },
}

export default defineConfig({
  plugins: [react()],
  build: {
    target: 'es2023',
    // The deployed policy is script-src 'self': nothing may become a data: URL.
    assetsInlineLimit: 0,
  },
  // AudioWorklet modules are ES modules.
  worker: { format: 'es' },
  server: { proxy },
  preview: { proxy },
})
