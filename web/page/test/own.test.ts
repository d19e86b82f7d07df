// Own dashboards: made of queries and saved searches, kept, exported, imported, deleted.

import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { afterAll, expect, test } from 'vitest';
import { becomes, TAILRACE } from './browser';
import { browsing, ERRORS, explore, RUN, total, TOTAL, withShop } from './shop';

const { open, leave } = browsing();
const Q = withShop('own');

/** An item of the menu beside the names of the dashboards. */
async function choose(page: Page, item: string): Promise<void> {
  await page.getByRole('button', { name: 'More', exact: true }).click();
  await page.locator('.panel .item', { hasText: item }).click();
}

// What a test that failed has left, too: the server keeps these for everybody.
afterAll(async () => {
  for (const kind of ['dashboards', 'saved-searches']) {
    const { items } = (await (await fetch(`${TAILRACE}/api/v1/${kind}`)).json()) as { items: { id: string; name: string }[] };
    for (const { id, name } of items) {
      if (name.includes(RUN)) await fetch(`${TAILRACE}/api/v1/${kind}/${id}`, { method: 'DELETE' });
    }
  }
});

test('an own dashboard is made, kept, exported and deleted', async () => {
  const page = await open('/dashboards/overview?from=now-1h');
  await choose(page, 'New dashboard');
  await page.locator('dialog input').first().fill(`Mine ${RUN}`);
  await page.locator('dialog .editor-add button', { hasText: 'Panel' }).click();
  await page.getByRole('textbox', { name: 'Query' }).fill(Q);
  await page.locator('dialog button[type=submit]').click();
  await page.waitForURL(/\/dashboards\/own\//);
  await page.locator('.tile .plot').waitFor();
  await page.reload();
  await page.locator('.tile .plot').waitFor();
  const downloading = page.waitForEvent('download');
  await choose(page, 'Export JSON');
  expect((await downloading).suggestedFilename()).toMatch(/^mine-.*\.json$/);
  await choose(page, 'Delete');
  await page.locator('.item', { hasText: 'press again' }).click();
  await page.waitForURL(/overview/);
  await leave();
});

test('its panels are made of saved searches, changed, and put into another order', async () => {
  const name = `Broken ${RUN}`;
  const page = await open(explore(`${Q} level:error`));
  await page.getByRole('button', { name: 'Saved searches' }).click();
  await page.locator('.panel .item', { hasText: 'Save this search' }).click();
  const dialog = page.locator('dialog');
  await dialog.locator('input').first().fill(name);
  await dialog.locator('button[type=submit]').click();
  await page.locator('.toast', { hasText: `Saved “${name}”` }).waitFor();

  await page.goto(`${TAILRACE}/dashboards/overview?from=now-1h`);
  await choose(page, 'New dashboard');
  await dialog.getByRole('textbox', { name: 'Name' }).fill(`Watch ${RUN}`);
  const saved = dialog.locator('.editor-add button', { hasText: name });
  const panels = dialog.locator('fieldset');
  await saved.click();
  await saved.click();
  await becomes(() => panels.count(), 2);
  await becomes(() => panels.nth(0).getByRole('textbox', { name: 'Query' }).inputValue(), `${Q} level:error`);
  await panels.nth(0).getByRole('combobox', { name: 'Kind' }).selectOption('figure');
  await dialog.locator('.editor-add button', { hasText: /^Panel$/ }).click();
  await panels.nth(2).getByRole('textbox', { name: 'Title' }).fill('Most');
  await panels.nth(2).getByRole('textbox', { name: 'Query' }).fill(Q);
  await panels.nth(2).getByRole('combobox', { name: 'Kind' }).selectOption('top');
  await panels.nth(2).getByRole('textbox', { name: 'Field' }).fill('level');
  await dialog.locator('button[type=submit]').click();
  await page.waitForURL(/\/dashboards\/own\//);
  await becomes(() => page.locator('.tile-figure .figure').textContent(), String(ERRORS));
  await becomes(() => page.locator('.tile-timeline .chart').getAttribute('aria-label'), `${name}, ${ERRORS} in all`);
  const cells = page.locator('.tile-top tbody tr', { hasText: 'error' }).locator('.num');
  await becomes(() => cells.textContent(), String(ERRORS));

  await page.getByRole('button', { name: 'Edit', exact: true }).click();
  await panels.nth(0).getByRole('button', { name: 'Down' }).click();
  await panels.nth(1).getByRole('combobox', { name: 'Width' }).selectOption('12');
  await panels.nth(2).getByRole('button', { name: 'Remove Most' }).click();
  await dialog.locator('button[type=submit]').click();
  const kinds = () => page.locator('.tile').evaluateAll((tiles) => tiles.map((tile) => tile.getAttribute('class')));
  await becomes(kinds, ['tile tile-timeline', 'tile tile-figure']);
  await page.reload();
  await becomes(kinds, ['tile tile-timeline', 'tile tile-figure']);
  await becomes(() => page.locator('.tile-figure .figure').textContent(), String(ERRORS));
  expect(await page.locator('.tile-figure').evaluate((tile) => getComputedStyle(tile).gridColumnStart)).toBe('span 12');
  await page.locator('.tile-figure').getByRole('link', { name: `Explore: ${name}` }).click();
  await becomes(() => total(page), String(ERRORS));
  await leave();
});

test('what was exported is imported, and what is no dashboard is refused', async () => {
  const page = await open('/dashboards/overview?from=now-1h');
  const file = page.getByLabel('Dashboard file');
  const take = (name: string, content: string) => file.setInputFiles({ name, mimeType: 'application/json', buffer: Buffer.from(content) });
  await page.locator('.tile').first().waitFor();
  const downloading = page.waitForEvent('download');
  await choose(page, 'Export JSON');
  const exported = JSON.parse(await readFile(await (await downloading).path(), 'utf8')) as { title: string; panels: { q?: string }[] };
  expect(exported.title).toBe('Overview');
  // The same, over the lines of this run alone.
  const changed = { ...exported, title: `Mine again ${RUN}`, panels: exported.panels.slice(0, 2).map((panel) => ({ ...panel, q: `${Q} ${panel.q ?? ''}`.trim() })) };
  await take('mine.json', JSON.stringify(changed));
  await page.waitForURL(/\/dashboards\/own\//);
  await becomes(() => page.locator('.tile-figure .figure').allTextContents(), [String(TOTAL), String(ERRORS)]);
  await page.locator('.tabs a[aria-current]', { hasText: `Mine again ${RUN}` }).waitFor();
  await take('wrong.json', JSON.stringify({ title: 'x', panels: [{ type: 'pie', title: 'y' }] }));
  await page.locator('.toast.bad', { hasText: 'Cannot import wrong.json: panel 1 is of an unknown type: "pie"' }).waitFor();
  await take('broken.json', '{');
  await page.locator('.toast.bad', { hasText: 'Cannot import broken.json' }).waitFor();
  await leave();
});
