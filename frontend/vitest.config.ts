import { defineConfig, mergeConfig } from 'vitest/config'

import page from './vite.config.ts'

// Apart from the page's own configuration, which is read where vitest is not installed.
export default mergeConfig(
  page,
  defineConfig({ test: { include: ['src/**/*.test.{ts,tsx}'], environment: 'node' } }),
)
