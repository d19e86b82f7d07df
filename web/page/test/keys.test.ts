// The keys of Explore, of its time range above all: what they promise is what the address then says.

import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { dateClock } from '../src/time/format';
import { becomes, indexed, rows, send, until, type LogLine } from './browser';
import { browsing, explore, facetOf, param, RUN, total, withShop } from './shop';

const { open, leave } = browsing();
const Q = withShop('keys');

const MINUTE = 60_000;
/** A past hour begins here. At the minutes 5, 20, 35 and 50 of it lie 1, 2, 4 and 8 lines: their sum tells which are seen. */
const START = Math.floor(Date.now() / MINUTE) * MINUTE - 4 * 60 * MINUTE;
const HOUR = `service:hour-${RUN}`;
/** The page's clock and ours are the same one, read at other places. */
const SLACK = 1_000;
const iso = (at: number) => new Date(at).toISOString();
const hour = explore(HOUR, { from: iso(START), to: iso(START + 60 * MINUTE) });

beforeAll(async () => {
  const lines = [[5, 1], [20, 2], [35, 4], [50, 8]].flatMap(([minute = 0, n = 0]) => Array.from({ length: n }, (): LogLine => (
    { service: `hour-${RUN}`, timestamp: iso(START + minute * MINUTE), level: 'info', message: `minute ${minute}` }
  )));
  await send(lines);
  await indexed(HOUR, 15);
});

/** The ends of the range in minutes since the hour began, and the lines in it. */
const seen = async (page: Page) => [(Date.parse((await param(page, 'from')) ?? '') - START) / MINUTE, (Date.parse((await param(page, 'to')) ?? '') - START) / MINUTE, await total(page)];

describe('the time range', () => {
  test('is halved, doubled and moved', async () => {
    const page = await open(hour);
    await becomes(() => seen(page), [0, 60, '15']);
    for (const [key, ...expected] of [
      ['+', 15, 45, '6'], ['[', 0, 30, '3'], [']', 15, 45, '6'], [']', 30, 60, '12'], ['[', 15, 45, '6'],
      ['=', 22.5, 37.5, '4'], ['-', 15, 45, '6'], ['-', 0, 60, '15'], ['-', -30, 90, '15'],
    ] as [string, number, number, string][]) {
      await page.keyboard.press(key);
      await becomes(() => seen(page), expected);
    }
    // Each step is one of the browser's back button.
    await page.goBack();
    await becomes(() => seen(page), [0, 60, '15']);
    await leave();
  });

  test('goes on following now while it is zoomed, and stands still once it is moved', async () => {
    const page = await open(explore(Q));
    await page.locator('.row').first().waitFor();
    const ends = async () => [await param(page, 'from'), await param(page, 'to')];
    for (const [key, from] of [['+', 'now-30m'], ['-', 'now-1h'], ['-', 'now-2h'], ['-', 'now-4h']] as const) {
      await page.keyboard.press(key);
      await becomes(ends, [from, null]);
    }
    const before = Date.now();
    await page.keyboard.press('[');
    await until(ends, ([, to]) => to != null);
    const after = Date.now();
    const [from = 0, to = 0] = (await ends()).map((end) => Date.parse(end ?? ''));
    expect(to - from).toBe(240 * MINUTE);
    expect(to).toBeGreaterThan(before - 120 * MINUTE - SLACK);
    expect(to).toBeLessThan(after - 120 * MINUTE + SLACK);
    await page.keyboard.press(']');
    await becomes(ends, [iso(from + 120 * MINUTE), iso(to + 120 * MINUTE)]);
    // Into the future it does not go.
    await page.keyboard.press(']');
    await until(ends, ([, end]) => Date.parse(end ?? '') > to + 120 * MINUTE);
    const last = (await ends()).map((end) => Date.parse(end ?? ''));
    expect((last[1] ?? 0) - (last[0] ?? 0)).toBe(240 * MINUTE);
    expect(last[1]).toBeLessThan(Date.now() + SLACK);
    await leave();
  });

  test('is fetched anew', async () => {
    const q = `service:anew-${RUN}`;
    const line = (i: number): LogLine => ({ service: `anew-${RUN}`, level: 'info', message: `line ${i}` });
    await send([line(1)]);
    await indexed(q, 1);
    const page = await open(explore(q));
    await becomes(() => rows(page), 1);
    await send([line(2)]);
    await indexed(q, 2);
    await page.keyboard.press('r');
    await becomes(() => rows(page), 2);
    await becomes(() => total(page), '2');
    await leave();
  });
});

/** The time as the browser's own zone has it. */
function inBerlin(at: number): string {
  const format = new Intl.DateTimeFormat('en-US', { timeZone: 'Europe/Berlin', month: 'short', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
  const parts = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]));
  return `${parts.month} ${parts.day} ${parts.hour}:${parts.minute}:${parts.second}.000`;
}

test('u changes between local time and UTC: the times shown, not the range', async () => {
  const page = await open(hour);
  await becomes(() => seen(page), [0, 60, '15']);
  const newest = START + 50 * MINUTE;
  const time = page.locator('.row').first().locator('time');
  const zone = page.getByRole('button', { name: /^Times are / });
  await becomes(() => time.textContent(), inBerlin(newest));
  await page.locator('.row .line').first().click();
  const stamp = page.locator('.fields tr', { has: page.locator('th', { hasText: /^@timestamp$/ }) }).locator('.v');
  await until(() => stamp.textContent(), (text) => /UTC\+0[12]:00$/.test(text ?? ''));
  expect((await zone.textContent())?.trim()).toBe('Local');
  await page.keyboard.press('u');
  await becomes(() => time.textContent(), dateClock(newest, 'utc'));
  await until(() => stamp.textContent(), (text) => / UTC$/.test(text ?? ''));
  expect((await zone.textContent())?.trim()).toBe('UTC');
  await becomes(() => param(page, 'tz'), 'utc');
  expect(await seen(page)).toEqual([0, 60, '15']);
  await page.reload();
  await becomes(() => time.textContent(), dateClock(newest, 'utc'));
  await zone.click();
  await becomes(() => time.textContent(), inBerlin(newest));
  await becomes(() => param(page, 'tz'), null);
  await leave();
});

test('t follows the search live, and leads back', async () => {
  const page = await open(explore(HOUR, { tz: 'utc', cols: 'message' }));
  await page.locator('.empty').waitFor();
  await page.keyboard.press('t');
  await page.waitForURL(/\/live\?/);
  await page.locator('.connection.open').waitFor();
  const kept = async () => [await param(page, 'q'), await param(page, 'tz'), await param(page, 'cols')];
  await becomes(kept, [HOUR, 'utc', 'message']);
  await page.keyboard.press('t');
  await page.waitForURL(/\/explore\?/);
  await becomes(kept, [HOUR, 'utc', 'message']);
  await leave();
});

test('the choice of a refresh is in the address, and goes along to other views', async () => {
  const page = await open(explore(Q));
  await page.locator('.row').first().waitFor();
  await page.getByRole('button', { name: 'Auto refresh' }).click();
  await page.locator('.panel .item', { hasText: /^10 s$/ }).click();
  await becomes(() => param(page, 'refresh'), '10s');
  await page.reload();
  await page.getByRole('button', { name: 'Auto refresh: 10 s' }).waitFor();
  await page.locator('nav a', { hasText: 'Dashboards' }).click();
  await page.waitForURL(/\/dashboards\?/);
  await page.getByRole('button', { name: 'Auto refresh: 10 s' }).click();
  await page.locator('.panel .item', { hasText: /^Off$/ }).click();
  await becomes(() => param(page, 'refresh'), null);
  await page.getByRole('button', { name: 'Auto refresh', exact: true }).waitFor();
  await leave();
});

describe('the view', () => {
  test('filters, chart, long lines, patterns and comparison come and go', async () => {
    const page = await open(explore(Q));
    await page.locator('.row').first().waitFor();
    for (const [key, selector] of [['f', '.facets'], ['h', '.explore .plot']] as const) {
      await page.locator(selector).waitFor();
      await page.keyboard.press(key);
      await becomes(() => page.locator(selector).count(), 0);
      await page.keyboard.press(key);
      await page.locator(selector).waitFor();
    }
    await page.keyboard.press('w');
    await page.locator('.lines.wrapped').waitFor();
    // It is a choice of this browser, not of the address.
    await page.reload();
    await page.locator('.lines.wrapped').waitFor();
    await page.keyboard.press('w');
    await becomes(() => page.locator('.lines.wrapped').count(), 0);
    await page.keyboard.press('m');
    await page.locator('.pattern').first().waitFor();
    await becomes(() => param(page, 'view'), 'patterns');
    await page.keyboard.press('m');
    await page.locator('.row').first().waitFor();
    await page.keyboard.press('b');
    await becomes(() => param(page, 'compare'), '1');
    await page.locator('.total .change').waitFor();
    await page.keyboard.press('b');
    await becomes(() => param(page, 'compare'), null);
    await becomes(() => page.locator('.total .change').count(), 0);
    await leave();
  });

  test('two keys lead to each view', async () => {
    const page = await open(explore(Q));
    await page.locator('.row').first().waitFor();
    for (const [key, path] of [['l', '/live'], ['d', '/dashboards'], ['r', '/rules'], ['e', '/explore']] as const) {
      // The second key counts for a second: on a busy machine it may come too late.
      await until(async () => {
        await page.keyboard.press('g');
        await page.keyboard.press(key);
        return new URL(page.url()).pathname;
      }, (now) => now === path);
      await page.locator(`nav a[aria-current][href^="${path}"]`).first().waitFor();
    }
    await leave();
  });

  test('single keys can be switched off, and on again', async () => {
    const page = await open(explore(Q));
    await facetOf(page, 'level').waitFor();
    const help = page.getByRole('button', { name: 'Help: keys' });
    await help.click();
    const keys = page.getByRole('checkbox', { name: /^Single keys/ });
    await keys.uncheck();
    await page.keyboard.press('Escape');
    await becomes(() => page.locator('dialog').count(), 0);
    // Had the key an effect, the button would show the filters again.
    await page.keyboard.press('f');
    await page.getByRole('button', { name: 'Filters', exact: true }).click();
    await becomes(() => page.locator('.facets').count(), 0);
    await help.click();
    await keys.check();
    await page.keyboard.press('Escape');
    await becomes(() => page.locator('dialog').count(), 0);
    await page.keyboard.press('f');
    await page.locator('.facets').waitFor();
    await leave();
  });
});
