// The chart over the lines: brushed over, read and chosen from by keys, its bars pressed.

import type { Page } from 'playwright-core';
import { beforeAll, expect, test } from 'vitest';
import { becomes, indexed, send, until, type LogLine } from './browser';
import { browsing, explore, param, RUN, total, withShop } from './shop';

const { open, leave } = browsing();
const Q = withShop('chart');

const HOUR = 3_600_000;
/** A whole hour that is over. The chart, as wide as it is here, has 120 bars of half a minute of it. */
const START = Math.floor(Date.now() / HOUR) * HOUR - 2 * HOUR;
const BARS = 120;
const BAR_MS = HOUR / BARS;
/** The one bar with lines, from the left. */
const FULL = 117;
const INFOS = 60;
const FAULTS = 40;

const iso = (at: number) => new Date(at).toISOString();

/** A bar of infos, with faults on top of them. */
const BAR = `service:bar-${RUN}`;
const hour = explore(BAR, { from: iso(START), to: iso(START + HOUR) });

beforeAll(async () => {
  const timestamp = iso(START + (FULL + 0.5) * BAR_MS);
  await send(Array.from({ length: INFOS + FAULTS }, (_, i): LogLine => (
    { service: `bar-${RUN}`, timestamp, level: i < INFOS ? 'info' : 'error', message: `line ${i} of the bar` }
  )));
  await indexed(BAR, INFOS + FAULTS);
});

async function placeOfChart(page: Page) {
  const over = page.locator('.explore .u-over');
  await over.waitFor();
  const box = await over.boundingBox();
  if (!box) throw new Error('the chart has no place');
  return box;
}

test('brushing the chart narrows the range', async () => {
  const page = await open(explore(Q));
  const box = await placeOfChart(page);
  await page.mouse.move(box.x + box.width * 0.2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.4, box.y + box.height / 2, { steps: 5 });
  await page.mouse.up();
  await page.waitForURL(/to=\d{4}-/);
  const params = new URL(page.url()).searchParams;
  const span = Date.parse(params.get('to') ?? '') - Date.parse(params.get('from') ?? '');
  expect(span / 60_000).toBeGreaterThan(8);
  expect(span / 60_000).toBeLessThan(16);
  await leave();
});

test('fingers brush over the chart, and zoom', async () => {
  const page = await open(explore(Q), { phone: true });
  const box = await placeOfChart(page);
  const session = await page.context().newCDPSession(page);
  const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', shares: number[]) => session.send('Input.dispatchTouchEvent', {
    type, touchPoints: shares.map((share, id) => ({ id, x: box.x + box.width * share, y: box.y + box.height / 2 })),
  });
  const minutes = () => {
    const params = new URL(page.url()).searchParams;
    return (Date.parse(params.get('to') ?? '') - Date.parse(params.get('from') ?? '')) / 60_000;
  };
  await touch('touchStart', [0.4, 0.6]);
  await touch('touchMove', [0.35, 0.65]);
  await touch('touchMove', [0.2, 0.8]);
  await touch('touchEnd', []);
  await page.waitForURL(/to=\d{4}-/);
  // A fifth of the hour lies on three fifths of the chart now.
  expect(minutes()).toBeGreaterThan(17);
  expect(minutes()).toBeLessThan(24);
  const zoomed = page.url();
  await page.locator('.explore .u-over').waitFor();
  await touch('touchStart', [0.25]);
  await touch('touchMove', [0.4]);
  await touch('touchMove', [0.75]);
  await touch('touchEnd', []);
  await page.waitForURL((url) => String(url) !== zoomed);
  expect(minutes()).toBeGreaterThan(8);
  expect(minutes()).toBeLessThan(13);
  await leave();
});

test('a press on a part of a bar filters by its level, another takes that back', async () => {
  const page = await open(hour);
  await becomes(() => total(page), String(INFOS + FAULTS));
  await page.locator('.legend', { hasText: 'per 30 s' }).waitFor();
  const box = await placeOfChart(page);
  const x = box.x + box.width * ((FULL + 0.5) / BARS);
  /** Presses the bar at a share of the chart's height, with a hand that trembles a little. */
  const press = async (height: number) => {
    const y = box.y + box.height * (1 - height);
    await page.mouse.move(x, y);
    await page.locator('.explore .tooltip').waitFor();
    await page.mouse.down();
    await page.mouse.move(x + 1, y + 1);
    await page.mouse.up();
  };
  const tooltip = () => page.locator('.explore .tooltip-row').allTextContents();
  await page.mouse.move(x, box.y + box.height / 2);
  await becomes(tooltip, [`error${FAULTS}`, `info${INFOS}`, `total${INFOS + FAULTS}`]);
  // The infos reach up to 0.57 of the height, the faults from there to 0.95.
  await press(0.75);
  await becomes(() => param(page, 'q'), `${BAR} level:error`);
  await becomes(() => total(page), String(FAULTS));
  // So low there are faults whether the chart is drawn anew by now or not.
  await becomes(tooltip, [`error${FAULTS}`, `total${FAULTS}`]);
  await press(0.25);
  await becomes(() => param(page, 'q'), BAR);
  await becomes(() => total(page), String(INFOS + FAULTS));
  await press(0.25);
  await becomes(() => param(page, 'q'), `${BAR} level:info`);
  await becomes(() => total(page), String(INFOS));
  await leave();
});

test('arrows read the chart, and Enter chooses a bar', async () => {
  const page = await open(hour);
  await becomes(() => total(page), String(INFOS + FAULTS));
  const plot = page.locator('.explore .plot');
  await plot.focus();
  for (let bar = BARS; bar > FULL; bar--) await page.keyboard.press('ArrowLeft');
  await until(() => plot.getAttribute('aria-label'), (label) => label?.endsWith(`: info ${INFOS}, error ${FAULTS}`) === true);
  await page.keyboard.press('Enter');
  await becomes(async () => [await param(page, 'from'), await param(page, 'to')], [iso(START + FULL * BAR_MS), iso(START + (FULL + 1) * BAR_MS)]);
  await becomes(() => total(page), String(INFOS + FAULTS));
  await leave();
});
