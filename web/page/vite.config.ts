import { defineConfig } from 'vitest/config';

export default defineConfig({
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  // Absolute addresses: the page is served at any path of its own (/explore, /dashboards/errors).
  base: '/',
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: ['chrome123', 'firefox121', 'safari17.5'],
    // The polyfill is an inline script, which the content security policy forbids.
    modulePreload: { polyfill: false },
    // Data addresses would need exceptions in the policy.
    assetsInlineLimit: 0,
    sourcemap: false,
    // One file: it is small, and a second round trip costs more than what it would save.
    rolldownOptions: { output: { codeSplitting: false } },
    chunkSizeWarningLimit: 400,
  },
  test: { environment: 'node', include: ['src/**/*.test.ts', 'export/**/*.test.ts'] },
});
