// The columns of the list: chosen, moved by dragging and by keys, removed; the address keeps them.

import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { becomes, until } from './browser';
import { browsing, explore, focused, param, withShop } from './shop';

const { open, leave } = browsing();
const Q = withShop('columns');

const names = (page: Page) => page.locator('.head-cell .head-name').allTextContents();
/** The head and the address agree. */
async function shows(page: Page, columns: [short: string, field: string][]): Promise<void> {
  await becomes(() => names(page), columns.map(([short]) => short));
  await becomes(() => param(page, 'cols'), columns.map(([, field]) => field).join());
}

const SERVICE: [string, string] = ['service', 'service.name'];
const TYPE: [string, string] = ['exception', 'error.type'];
const TRACE: [string, string] = ['trace', 'trace.id'];
const MESSAGE: [string, string] = ['message', 'message'];
const FOUR = explore(`${Q} level:error`, { cols: 'service.name,error.type,trace.id,message' });

const cellOf = (page: Page, name: string) => page.locator('.head-cell', { has: page.locator('.head-name', { hasText: new RegExp(`^${name}$`) }) });

/** Drags one column's head onto another's with the mouse. */
async function drag(page: Page, name: string, onto: string): Promise<void> {
  const target = await cellOf(page, onto).boundingBox();
  if (!target) throw new Error(`the column ${onto} has no place`);
  await cellOf(page, name).locator('.head-name').hover();
  await page.mouse.down();
  await page.mouse.move(target.x + target.width / 2, target.y + target.height / 2, { steps: 5 });
  await page.mouse.up();
}

test('a column is dragged to another place, and stays there', async () => {
  const page = await open(FOUR);
  await page.locator('.row').first().waitFor();
  await shows(page, [SERVICE, TYPE, TRACE, MESSAGE]);
  await drag(page, 'trace', 'service');
  await shows(page, [TRACE, SERVICE, TYPE, MESSAGE]);
  // The rows follow their head: time and level stand before the columns.
  const third = page.locator('.row').first().locator('.cell').nth(2);
  await until(() => third.textContent(), (text) => text?.startsWith('trace-') === true);
  await page.reload();
  await page.locator('.row').first().waitFor();
  await shows(page, [TRACE, SERVICE, TYPE, MESSAGE]);
  await drag(page, 'service', 'message');
  await shows(page, [TRACE, TYPE, MESSAGE, SERVICE]);
  // A colleague who gets the link sees the same.
  const link = new URL(page.url());
  const theirs = await open(link.pathname + link.search);
  await theirs.locator('.row').first().waitFor();
  await shows(theirs, [TRACE, TYPE, MESSAGE, SERVICE]);
  await leave();
});

test('keys move a column, which keeps the focus', async () => {
  const page = await open(FOUR);
  await page.locator('.row').first().waitFor();
  await shows(page, [SERVICE, TYPE, TRACE, MESSAGE]);
  await cellOf(page, 'trace').locator('.head-name').focus();
  for (const [key, order] of [
    ['ArrowLeft', [SERVICE, TRACE, TYPE, MESSAGE]], ['ArrowLeft', [TRACE, SERVICE, TYPE, MESSAGE]],
    // Further it does not go.
    ['ArrowLeft', [TRACE, SERVICE, TYPE, MESSAGE]],
    ['ArrowRight', [SERVICE, TRACE, TYPE, MESSAGE]], ['ArrowRight', [SERVICE, TYPE, TRACE, MESSAGE]], ['ArrowRight', [SERVICE, TYPE, MESSAGE, TRACE]],
  ] as [string, [string, string][]][]) {
    await page.keyboard.press(`Alt+${key}`);
    await shows(page, order);
    await until(() => focused(page), (name) => name?.startsWith('Column trace') === true);
  }
  await leave();
});

test('columns are removed, all but the last', async () => {
  const page = await open(FOUR);
  await page.locator('.row').first().waitFor();
  await page.getByRole('button', { name: 'Remove the column exception' }).click();
  await shows(page, [SERVICE, TRACE, MESSAGE]);
  await page.getByRole('button', { name: 'Remove the column trace' }).click();
  // These are the columns without a choice: the address need not name them.
  await becomes(() => names(page), ['service', 'message']);
  await becomes(() => param(page, 'cols'), null);
  await page.getByRole('button', { name: 'Remove the column service' }).click();
  await shows(page, [MESSAGE]);
  expect(await page.locator('.head-cell .act').count()).toBe(0);
  await leave();
});

test('a field of the list of all fields becomes a column before the message', async () => {
  const page = await open(explore(Q));
  await page.locator('.row').first().waitFor();
  await page.locator('.facet-head', { hasText: 'All fields' }).click();
  await page.getByRole('textbox', { name: 'Find a field' }).fill('url.path');
  const column = page.getByRole('button', { name: 'url.path as a column' });
  await column.click();
  await shows(page, [SERVICE, ['path', 'url.path'], MESSAGE]);
  await becomes(() => column.getAttribute('aria-pressed'), 'true');
  await column.click();
  await becomes(() => names(page), ['service', 'message']);
  await leave();
});
