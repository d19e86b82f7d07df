// The tests in a real browser, against the aggregator at TAILRACE_URL: `scripts/page.sh browser URL`.

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/**/*.test.ts'],
    // One browser, one aggregator: the tests share both.
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
