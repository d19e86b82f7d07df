// `npm run dev`: the page with a made-up shop behind it, or, with TAILRACE_URL, a real aggregator.

import { defineConfig } from 'vite';
import { devServer } from './plugin.ts';

const target = process.env.TAILRACE_URL;

export default defineConfig({
  plugins: target ? [] : [devServer()],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  server: {
    host: '127.0.0.1',
    port: Number(process.env.PORT ?? 5199),
    proxy: target ? { '/api': { target, changeOrigin: false }, '/es': { target, changeOrigin: false } } : {},
  },
});
