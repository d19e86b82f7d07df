// The search box: mistakes, completion, and the cheat sheet behind the question mark.

import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { becomes, TAILRACE, until } from './browser';
import { browsing, ERRORS, explore, focused, param, total, withShop } from './shop';

const { open, leave } = browsing();
const Q = withShop('search');

test('a mistake is shown under its place', async () => {
  const page = await open(explore(Q));
  await page.locator('.row').first().waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('level:error AND (status:');
  await page.keyboard.press('Enter');
  await page.locator('.search-problem').waitFor();
  expect((await page.locator('.search-problem').textContent())?.length).toBeGreaterThan(10);
  expect(await page.locator('.q-wrong, .caret').count()).toBeGreaterThan(0);
  // The browser itself notes the answer 400.
  await leave(/status of 400/);
});

test('completes fields and values', async () => {
  const page = await open(explore(Q));
  await page.locator('.row').first().waitFor();
  await page.keyboard.press('/');
  await page.keyboard.press('End');
  await page.keyboard.type(' leve');
  await page.locator('[role=option]', { hasText: 'level' }).first().click();
  await page.locator('[role=option]', { hasText: 'error' }).first().waitFor();
  await page.locator('[role=option]', { hasText: 'error' }).first().click();
  await page.keyboard.press('Enter');
  await until(() => total(page), (n) => n === String(ERRORS));
  await leave();
});

/** Opens the cheat sheet. */
async function openSheet(page: Page) {
  await page.getByRole('button', { name: 'How to search' }).click();
  const sheet = page.locator('dialog', { hasText: 'anywhere in the message' });
  await sheet.waitFor();
  return sheet;
}

/** The sheet is gone, and the focus is where it was before. */
async function isClosed(page: Page): Promise<void> {
  await becomes(() => page.locator('dialog').count(), 0);
  await becomes(() => focused(page), 'How to search');
}

test('each example of the cheat sheet is a search that the server takes', async () => {
  const page = await open(explore(Q));
  await page.locator('.row').first().waitFor();
  const sheet = await openSheet(page);
  const examples = await sheet.locator('.code-button').allTextContents();
  expect(examples.length).toBeGreaterThan(10);
  for (const q of examples) {
    const answer = await fetch(`${TAILRACE}/api/v1/count?${new URLSearchParams({ q, from: 'now-1h' })}`);
    expect([q, answer.status]).toEqual([q, 200]);
  }
  await sheet.locator('summary').click();
  await sheet.locator('.aliases div', { hasText: /^tookevent\.duration$/ }).waitFor();
  await leave();
});

test('the cheat sheet gives the focus back, however it is closed', async () => {
  const page = await open(explore(Q));
  await page.locator('.row').first().waitFor();
  await openSheet(page);
  await page.keyboard.press('Escape');
  await isClosed(page);
  const sheet = await openSheet(page);
  await sheet.getByRole('button', { name: 'Close' }).click();
  await isClosed(page);
  await openSheet(page);
  // Beside the sheet.
  await page.mouse.click(5, 5);
  await isClosed(page);
  // The keys of the view are back as well.
  await page.keyboard.press('j');
  await page.locator('.row.selected').waitFor();
  await leave();
});

test('an example of the cheat sheet is tried at a press', async () => {
  const page = await open(explore(Q));
  await page.locator('.row').first().waitFor();
  const sheet = await openSheet(page);
  await sheet.locator('.code-button', { hasText: /^level:\(error OR warn\)$/ }).click();
  await isClosed(page);
  await becomes(() => param(page, 'q'), 'level:(error OR warn)');
  expect(await param(page, 'from')).toBe('now-1h');
  await becomes(() => page.getByRole('combobox', { name: 'Search' }).inputValue(), 'level:(error OR warn)');
  await until(() => page.locator('.row .cell.level').allTextContents(), (levels) => levels.length > 0 && levels.every((level) => /^(error|warn)$/.test(level)));
  await leave();
});
