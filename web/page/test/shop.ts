// The lines of a made-up shop, and what the tests of its pages have in common.

import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { indexed, launch, send, until, visit, type LogLine, type Visit } from './browser';

/** Marks what a file of tests sends and saves in this run, so that a store may hold more. */
export const RUN = `run${Date.now().toString(36)}${Math.random().toString(36).slice(2, 6)}`;

const TRACE = `com.shop.Timeout: no answer
\tat com.shop.Gateway.authorise(Gateway.java:118)
\tat org.springframework.aop.A.b(A.java:1)
\tat org.springframework.aop.A.c(A.java:2)
\tat org.springframework.aop.A.d(A.java:3)
\tat com.shop.Endpoint.post(Endpoint.java:41)`;

export const TOTAL = 600;
export const ERRORS = 12;

/** Its lines, the oldest ten minutes old. */
export function shop(service: string): LogLine[] {
  const now = Date.now();
  return Array.from({ length: TOTAL }, (_, i): LogLine => {
    const line = { service, timestamp: new Date(now - 10 * 60_000 + i * 900).toISOString() };
    if (i % 50 === 0) return { ...line, level: 'error', message: `payment failed for order A${i}`, meta: { 'error.type': 'com.shop.Timeout', 'error.stack_trace': TRACE, 'trace.id': `trace-${service}-${i % 100}`, order: `A${i}` } };
    if (i % 7 === 0) return { ...line, level: 'warn', message: '\u001b[33mslow\u001b[0m query took 812 ms', meta: { took_ms: 812 } };
    if (i % 5 === 0) return { ...line, level: 'debug', message: '{"event":"price_changed","sku":4711}' };
    return { ...line, level: 'info', message: `order A${i} accepted`, meta: { 'url.path': i % 2 ? '/cart' : '/checkout', 'http.response.status_code': 200, 'http.request.method': 'GET', 'http.response.body.bytes': 512 } };
  });
}

/** Before the tests of a file, sends the shop's lines as those of a service of the file's own. Gives the search for them. */
export function withShop(name: string): string {
  const service = `${name}-${RUN}`;
  const q = `service:${service}`;
  beforeAll(async () => {
    await send(shop(service));
    await indexed(q, TOTAL);
  });
  return q;
}

/** A browser for the tests of a file. */
export function browsing() {
  let browser: Browser | undefined;
  const visits: Visit[] = [];
  const end = async () => {
    for (const { context } of visits.splice(0)) await context.close();
  };
  beforeAll(async () => {
    browser = await launch();
  });
  // A test that failed has left its pages open.
  afterEach(end);
  afterAll(async () => {
    await browser?.close();
  });
  return {
    async open(path: string, options?: Parameters<typeof visit>[2]): Promise<Page> {
      if (!browser) throw new Error('the browser has not started');
      const made = await visit(browser, path, options);
      visits.push(made);
      return made.page;
    },
    /** Ends all visits; none may have complained, unless of what the test provoked. */
    async leave(expected = /^$/): Promise<void> {
      const complaints = visits.flatMap((v) => v.complaints).filter((c) => !expected.test(c));
      await end();
      expect(complaints).toEqual([]);
    },
  };
}

/** The address of Explore over the last hour. */
export const explore = (q: string, more: Record<string, string> = {}) => `/explore?${new URLSearchParams({ q, from: 'now-1h', ...more })}`;
/** A parameter of the page's address. */
export const param = async (page: Page, name: string) => new URL(page.url()).searchParams.get(name);
/** The count of lines; the chart's tooltip has one too. */
export const total = (page: Page) => page.locator('span.total b').textContent();
export const facetOf = (page: Page, name: string) => page.locator('.facet', { has: page.locator('.facet-head', { hasText: new RegExp(`^${name}$`) }) });
/** The name of what has the focus. */
export const focused = (page: Page) => page.evaluate(() => document.activeElement?.getAttribute('aria-label'));

/** What a press puts into the clipboard. */
export async function copiedBy(page: Page, press: () => Promise<void>): Promise<string> {
  await page.evaluate(() => navigator.clipboard.writeText('nothing yet'));
  await press();
  return until(() => page.evaluate(() => navigator.clipboard.readText()), (content) => content !== 'nothing yet');
}
