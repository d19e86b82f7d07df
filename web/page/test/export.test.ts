// Taking lines elsewhere: files, links, commands, queries for Elasticsearch, and what an opened line gives to copy.

import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { text, type Source } from '../src/text/document';
import { becomes, TAILRACE, until } from './browser';
import { browsing, copiedBy, ERRORS, explore, RUN, total, TOTAL, withShop } from './shop';

const { open, leave } = browsing();
const Q = withShop('export');
const SERVICE = Q.replace('service:', '');
const ERRORS_Q = `${Q} level:error`;
/** The newest of the errors. */
const NEWEST = 'payment failed for order A550';

/** What an item of the export menu puts into the clipboard. */
const take = (page: Page, item: string) => copiedBy(page, async () => {
  await page.getByRole('button', { name: 'Export, copy' }).click();
  await page.getByRole('button', { name: item, exact: true }).click();
});

/** The count that the store's own API gives. */
async function searched(url: string, body: string): Promise<number> {
  const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  expect(answer.status).toBe(200);
  const { hits } = (await answer.json()) as { hits: { total: number | { value: number } } };
  return typeof hits.total === 'number' ? hits.total : hits.total.value;
}

test('saves a search, and exports', async () => {
  const page = await open(explore(`${Q} level:error`));
  await page.locator('.row').first().waitFor();
  await page.keyboard.press('s');
  await page.locator('dialog input').first().fill(`errors ${RUN}`);
  await page.locator('dialog button[type=submit]').click();
  await page.locator('.toast', { hasText: 'Saved' }).waitFor();
  await page.goto(`${TAILRACE}/explore`);
  await page.getByRole('button', { name: 'Saved searches' }).click();
  await page.locator('.saved-item .item', { hasText: `errors ${RUN}` }).click();
  await until(() => total(page), (n) => n === String(ERRORS));
  await page.getByRole('button', { name: 'Export, copy' }).click();
  const href = await page.locator('a', { hasText: 'NDJSON' }).getAttribute('href');
  const body = await (await fetch(TAILRACE + href)).text();
  // A saved search without a range opens with the one in force: all errors are within it.
  expect(body.trim().split('\n')).toHaveLength(ERRORS);
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Saved searches' }).click();
  await page.getByRole('button', { name: `Delete errors ${RUN}` }).click();
  await until(() => page.locator('.saved-item', { hasText: `errors ${RUN}` }).count(), (n) => n === 0);
  await leave();
});

test('CSV has a head and a line for each', async () => {
  const page = await open(explore(ERRORS_Q, { cols: 'error.type,message' }));
  await page.locator('.row').first().waitFor();
  await page.getByRole('button', { name: 'Export, copy' }).click();
  const downloading = page.waitForEvent('download');
  await page.locator('a.item', { hasText: 'CSV' }).click();
  const [head = '', newest = '', ...rest] = (await readFile(await (await downloading).path(), 'utf8')).split('\r\n');
  // Spreadsheets would take what begins with `@` for a formula.
  expect(head.split(',').map((name) => name.replace(/^'/, ''))).toEqual(['@timestamp', 'log.level', 'error.type', 'message']);
  expect(newest).toMatch(new RegExp(`^\\d{4}-[^,]+Z,error,com\\.shop\\.Timeout,${NEWEST}$`));
  // Each line is ended, the last one too.
  expect(rest).toHaveLength(ERRORS);
  expect(rest.at(-1)).toBe('');
  await page.goto(TAILRACE + explore(Q));
  await page.locator('.row').first().waitFor();
  await page.getByRole('button', { name: 'Export, copy' }).click();
  const all = await (await fetch(TAILRACE + (await page.locator('a.item', { hasText: 'CSV' }).getAttribute('href')))).text();
  expect(all.split('\r\n')).toHaveLength(1 + TOTAL + 1);
  await leave();
});

test('the query for Elasticsearch finds there what the page finds', async () => {
  const page = await open(explore(ERRORS_Q));
  await becomes(() => total(page), String(ERRORS));
  const query = await take(page, 'As Elasticsearch query');
  const [head = '', ...lines] = query.split('\n');
  const path = /^GET (\/.+\/_search)$/.exec(head)?.[1];
  expect(path).toBeDefined();
  const body = lines.join('\n');
  const filter = JSON.stringify((JSON.parse(body) as { query: unknown }).query);
  for (const part of ['"@timestamp"', '"service.name"', `"${SERVICE}"`, '"log.level"', '"error"']) expect(filter).toContain(part);
  expect(await searched(`${TAILRACE}/es/_search`, body)).toBe(ERRORS);
  expect(await searched(`${TAILRACE}/es${path}`, body)).toBe(ERRORS);
  // The same as a command for the shell, which has a quote of its own kind.
  const command = await take(page, 'As Elasticsearch query in curl');
  const [, url = '', data = ''] = /'(http[^']+)' -d '([^]*)'$/.exec(command) ?? [];
  expect(url).toBe(`${TAILRACE}/es${path}`);
  expect(await searched(url, data.replaceAll(`'\\''`, `'`))).toBe(ERRORS);
  await leave();
});

test('a curl command and a link with the time fixed lead to the same lines', async () => {
  const page = await open(explore(ERRORS_Q, { cols: 'message' }));
  await becomes(() => total(page), String(ERRORS));
  const url = /'(http.+)'$/.exec(await take(page, 'As curl'))?.[1] ?? '';
  const found = (await (await fetch(url)).json()) as { hits: { source: Source }[] };
  expect(found.hits).toHaveLength(ERRORS);
  expect(text(found.hits[0]?.source ?? {}, 'message')).toBe(NEWEST);
  const link = new URL(await take(page, 'Link with the time fixed'));
  for (const end of ['from', 'to']) expect(link.searchParams.get(end)).toMatch(/^\d{4}-\d\d-\d\dT/);
  expect(link.searchParams.get('cols')).toBe('message');
  const theirs = await open(link.pathname + link.search);
  await becomes(() => total(theirs), String(ERRORS));
  expect(await take(page, 'The search itself')).toBe(ERRORS_Q);
  await leave();
});

test('an opened line is copied: as it was written, as JSON, field by field, as a link', async () => {
  const page = await open(explore(ERRORS_Q));
  await page.locator('.row .line').first().click();
  const detail = page.locator('.row.open .detail');
  const press = (name: string) => detail.getByRole('button', { name, exact: true }).click();
  const copied = (name: string) => copiedBy(page, () => press(name));
  expect(await copied('Copy line')).toMatch(new RegExp(`^\\d\\d:\\d\\d:\\d\\d\\.\\d{3} error ${SERVICE} ${NEWEST}$`));
  const json = await copied('Copy JSON');
  // Indented, for people.
  expect(json.split('\n').length).toBeGreaterThan(10);
  const document = JSON.parse(json) as Source;
  expect([text(document, 'service.name'), text(document, 'log.level'), text(document, 'message')]).toEqual([SERVICE, 'error', NEWEST]);
  await press('View JSON');
  await becomes(async () => JSON.parse((await detail.locator('pre.json').textContent()) ?? '') as Source, document);
  await press('View fields');
  expect(await copied('Copy trace.id')).toBe(text(document, 'trace.id'));
  expect(await copied('Copy the stack trace')).toBe(text(document, 'error.stack_trace'));
  const link = new URL(await copied('Copy link'));
  const theirs = await open(link.pathname + link.search);
  await theirs.locator('dialog .here .message', { hasText: NEWEST }).waitFor();
  await leave();
});
