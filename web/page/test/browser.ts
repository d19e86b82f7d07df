// Chromium, and the lines that the tests look for.

import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { expect } from 'vitest';

const url = process.env.TAILRACE_URL;
if (!url) throw new Error('TAILRACE_URL names the aggregator to test, for example http://127.0.0.1:8080');
export const TAILRACE = url.replace(/\/$/, '');

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
/** How long anything on the page may take. */
export const SOON = 15_000;

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
}

export interface Visit {
  page: Page;
  context: BrowserContext;
  /** What the console and failed scripts said. */
  complaints: string[];
}

interface Options {
  scheme?: 'light' | 'dark';
  phone?: boolean;
  /** Runs in the page before its own scripts. */
  script?: () => void;
}

/** Opens an address of the page in a context of its own. */
export async function visit(browser: Browser, path: string, { scheme = 'light', phone = false, script }: Options = {}): Promise<Visit> {
  const context = await browser.newContext({
    viewport: phone ? { width: 390, height: 844 } : { width: 1440, height: 900 }, colorScheme: scheme, timezoneId: 'Europe/Berlin',
    hasTouch: phone, isMobile: phone, permissions: ['clipboard-read', 'clipboard-write'],
  });
  if (script) await context.addInitScript(script);
  const page = await context.newPage();
  page.setDefaultTimeout(SOON);
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(TAILRACE + path);
  return { page, context, complaints };
}

const pause = () => new Promise((done) => setTimeout(done, 100));

/** Waits until the condition holds; says what it was otherwise. */
export async function until<T>(ask: () => Promise<T>, holds: (value: T) => boolean, ms = SOON): Promise<T> {
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await ask();
    if (holds(value)) return value;
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms; the last value was ${JSON.stringify(value)}`);
    await pause();
  }
}

/** Waits until it is what is expected; shows the difference otherwise. */
export async function becomes<T>(ask: () => Promise<T>, expected: T, ms = SOON): Promise<void> {
  const wanted = JSON.stringify(expected);
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await ask();
    if (JSON.stringify(value) === wanted) return;
    if (Date.now() > deadline) return expect(value).toEqual(expected);
    await pause();
  }
}

export interface LogLine {
  service: string;
  level: string;
  message: string;
  meta?: Record<string, unknown>;
  timestamp?: string;
}

/** Sends lines through the front door. They are durable when this returns. */
export async function send(lines: LogLine[]): Promise<void> {
  const answer = await fetch(`${TAILRACE}/api/v1/logs`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(lines) });
  if (answer.status !== 202) throw new Error(`POST /api/v1/logs: ${answer.status} ${await answer.text()}`);
}

/** Waits until the store finds so many lines. */
export async function indexed(q: string, n: number): Promise<void> {
  const found = await until(async () => {
    const answer = await fetch(`${TAILRACE}/api/v1/count?${new URLSearchParams({ q, from: 'now-30d' })}`);
    return answer.ok ? ((await answer.json()) as { count: number }).count : answer.status;
  }, (count) => count >= n, 60_000);
  expect(found).toBe(n);
}

/** The number of rows in the document; the list has only those in sight. */
export const rows = (page: Page) => page.locator('.row').count();
