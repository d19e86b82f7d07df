// The page over many lines: TAILRACE_LINES of them, of the last fifty minutes, of which each hundredth
// is an error and one has the needle. `tests/tests/e2e/page.rs` writes them. What is asked here is not
// how quick it is, but that the page goes on answering whoever uses it.

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launch, rows, until, visit } from './browser';

const LINES = Number(process.env.TAILRACE_LINES ?? 0);
/** How long the store may take for one answer, beside whatever else the machine does. */
const ANSWER = 60_000;
/** A page that does nothing for so long is frozen. On an idle machine no task comes near it. */
const FROZEN_MS = 1_000;

const grouped = (n: number) => n.toLocaleString('en-US');
const total = (page: Page) => page.locator('span.total b').textContent();
const totalNumber = async (page: Page) => Number((await total(page))?.replaceAll(',', ''));

/** Runs in the page: notes the tasks of its main thread that take longer than 50 ms. */
function watchTasks(): void {
  const tasks: number[] = [];
  Object.assign(window, { longTasks: tasks });
  new PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: 'longtask', buffered: true });
}

/** Types a search, as fast as people do. Each key has to arrive. */
async function ask(page: Page, q: string): Promise<void> {
  const box = page.getByRole('combobox', { name: 'Search' });
  await box.fill('');
  await box.pressSequentially(q, { delay: 20 });
  expect(await box.inputValue()).toBe(q);
  await box.press('Enter');
}

describe.skipIf(!LINES)('over many lines', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(async () => {
    await browser?.close();
  });

  test('searching, scrolling and brushing never freeze the page', async () => {
    const { page, context, complaints } = await visit(browser, '/explore?from=now-2h', { script: watchTasks });
    await until(() => total(page), (n) => n === grouped(LINES), ANSWER);
    await until(() => rows(page), (n) => n > 20, ANSWER);

    // Fifteen pages down; only the rows in sight are in the document.
    await until(async () => {
      await page.locator('.scroller').evaluate((element) => element.scrollTo(0, element.scrollHeight));
      return Number(await page.locator('.row').last().getAttribute('aria-posinset'));
    }, (position) => position >= 3_000, ANSWER);
    expect(await rows(page)).toBeLessThan(200);

    await ask(page, 'level:error payment');
    await until(() => total(page), (n) => n === grouped(LINES / 100), ANSWER);
    await page.locator('.row', { hasText: 'payment failed' }).first().waitFor({ timeout: ANSWER });
    await ask(page, 'needleinahaystack');
    await until(() => total(page), (n) => n === '1', ANSWER);
    await until(() => rows(page), (n) => n === 1, ANSWER);
    await page.goBack();
    await until(() => total(page), (n) => n === grouped(LINES / 100), ANSWER);
    await page.goBack();
    await until(() => total(page), (n) => n === grouped(LINES), ANSWER);

    // From 48 to 24 minutes ago: about half of the lines.
    const over = page.locator('.explore .u-over');
    await over.waitFor();
    const box = await over.boundingBox();
    if (!box) throw new Error('the chart has no place');
    await page.mouse.move(box.x + box.width * 0.6, box.y + box.height / 2);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.8, box.y + box.height / 2, { steps: 20 });
    await page.mouse.up();
    await page.waitForURL(/to=\d{4}-/);
    await until(() => totalNumber(page), (n) => n > LINES * 0.3 && n < LINES * 0.65, ANSWER);
    const level = page.locator('.facet', { has: page.locator('.facet-head', { hasText: /^level$/ }) });
    await level.locator('.pick', { hasText: 'error' }).click();
    await until(() => totalNumber(page), (n) => n > 0 && n < LINES * 0.01, ANSWER);
    await until(() => page.locator('.busy.on').count(), (n) => n === 0, ANSWER);

    const worst = await page.evaluate(() => Math.max(0, ...(window as unknown as { longTasks: number[] }).longTasks));
    expect(worst).toBeLessThan(FROZEN_MS);
    expect(complaints).toEqual([]);
    await context.close();
  }, 300_000);
});
