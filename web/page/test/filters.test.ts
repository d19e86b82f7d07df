// Facets and legend: what they count, and what a press on them does to the search.

import type { Locator } from 'playwright-core';
import { expect, test } from 'vitest';
import { becomes, type LogLine } from './browser';
import { browsing, ERRORS, explore, facetOf, param, shop, total, TOTAL, withShop } from './shop';

const { open, leave } = browsing();
const Q = withShop('filters');
const LINES = shop('filters');

/** `value count` of the lines, the most frequent first. */
function counted(of: (line: LogLine) => unknown): string[] {
  const counts = new Map<string, number>();
  for (const line of LINES) {
    const value = of(line);
    if (value !== undefined) counts.set(String(value), (counts.get(String(value)) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).map(([value, n]) => `${value} ${n}`);
}

/** The same as a facet shows it. */
const shown = (facet: Locator) => facet.locator('.value').evaluateAll((values) => values.map((value) => `${value.querySelector('.text')?.textContent} ${value.querySelector('.n')?.textContent}`));

const LEVELS = counted((line) => line.level);
const WARNINGS = LINES.filter((line) => line.level === 'warn').length;

test('facets count exactly', async () => {
  const page = await open(explore(Q));
  await becomes(() => shown(facetOf(page, 'level')), LEVELS);
  await becomes(() => shown(facetOf(page, 'service')), [`${Q.replace('service:', '')} ${TOTAL}`]);
  await page.locator('.facet-head', { hasText: 'All fields' }).click();
  await page.getByRole('textbox', { name: 'Find a field' }).fill('url.path');
  await page.getByTitle(/^url\.path, .*: show its values$/).click();
  await becomes(() => param(page, 'facets'), 'url.path');
  await becomes(() => shown(facetOf(page, 'path')), counted((line) => line.meta?.['url.path']));
  await page.reload();
  await becomes(() => shown(facetOf(page, 'path')), counted((line) => line.meta?.['url.path']));
  await page.getByRole('button', { name: 'Remove path from this list' }).click();
  await becomes(() => facetOf(page, 'path').count(), 0);
  await leave();
});

test('a facet leaves a value out, and takes it in again', async () => {
  const page = await open(explore(Q));
  const level = facetOf(page, 'level');
  await becomes(() => shown(level), LEVELS);
  const others = LEVELS.filter((value) => !value.startsWith('error '));
  await level.getByRole('button', { name: 'Not error' }).click();
  await becomes(() => param(page, 'q'), `${Q} -level:error`);
  await becomes(() => total(page), String(TOTAL - ERRORS));
  // What is left out stays in sight, struck through.
  await becomes(() => shown(level), [...others, 'error 0']);
  expect(await level.locator('.value.isnt .text').allTextContents()).toEqual(['error']);
  // The opposite takes its place; the two together would match nothing.
  await level.locator('.pick', { hasText: 'error' }).click();
  await becomes(() => param(page, 'q'), `${Q} level:error`);
  await becomes(() => total(page), String(ERRORS));
  await level.getByRole('button', { name: 'Not error' }).click();
  await becomes(() => total(page), String(TOTAL - ERRORS));
  await level.getByRole('button', { name: 'Not error' }).click();
  await becomes(() => param(page, 'q'), Q);
  await becomes(() => total(page), String(TOTAL));
  await becomes(() => shown(level), LEVELS);
  await leave();
});

test('the legend counts, and filters by a press', async () => {
  const page = await open(explore(Q));
  const legend = page.locator('.legend-item');
  const worstFirst = ['error', 'warn', 'info', 'debug'].map((level) => LEVELS.find((value) => value.startsWith(`${level} `)) ?? level);
  await becomes(() => legend.allTextContents(), worstFirst);
  await legend.filter({ hasText: 'warn' }).click();
  await becomes(() => param(page, 'q'), `${Q} level:warn`);
  await becomes(() => total(page), String(WARNINGS));
  await becomes(() => legend.allTextContents(), [`warn ${WARNINGS}`]);
  expect(await legend.getAttribute('aria-pressed')).toBe('true');
  await legend.click();
  await becomes(() => param(page, 'q'), Q);
  await becomes(() => total(page), String(TOTAL));
  await leave();
});
