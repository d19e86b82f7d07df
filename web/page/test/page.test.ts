// The page in Chromium against a real aggregator with a real store.

import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { rows, send, SOON, TAILRACE, until, type LogLine } from './browser';
import { browsing, ERRORS, explore, facetOf, RUN, total, TOTAL, withShop } from './shop';

const { open, leave } = browsing();
const Q = withShop('shop');

describe('Explore', () => {
  test('counts, filters by a press, and goes back and forward', async () => {
    const page = await open(explore(Q));
    await until(() => total(page), (n) => n === String(TOTAL));
    // The chart's answer, which has the total, may come before the list's.
    await until(() => rows(page), (n) => n > 20);
    await facetOf(page, 'level').locator('.pick', { hasText: 'error' }).click();
    await until(() => total(page), (n) => n === String(ERRORS));
    expect(new URL(page.url()).searchParams.get('q')).toBe(`${Q} level:error`);
    await until(() => page.locator('.row').count(), (n) => n === ERRORS);
    await page.goBack();
    await until(() => total(page), (n) => n === String(TOTAL));
    await page.goForward();
    await until(() => total(page), (n) => n === String(ERRORS));
    await page.reload();
    await until(() => total(page), (n) => n === String(ERRORS));
    await leave();
  });

  test('the list reaches the last line', async () => {
    const page = await open(explore(Q));
    await page.locator('.row').first().waitFor();
    await until(async () => {
      await page.locator('.scroller').evaluate((element) => element.scrollTo(0, element.scrollHeight));
      return page.locator('.list-end').textContent();
    }, (text) => text === 'Oldest line of the range');
    await until(() => page.locator('.row').last().getAttribute('aria-posinset'), (n) => n === String(TOTAL));
    await leave();
  });

  test('everything by the keyboard: next error, open, context, close, help', async () => {
    const page = await open(explore(Q));
    await page.locator('.row').first().waitFor();
    await page.keyboard.press('e');
    await page.locator('.row.selected', { hasText: 'payment failed' }).waitFor();
    await page.keyboard.press('Enter');
    const detail = page.locator('.row.open .detail');
    await detail.waitFor();
    // The frames of the framework are folded, the shop's own are not.
    expect(await detail.locator('.fold').count()).toBe(1);
    expect(await detail.locator('.trace').textContent()).toContain('Gateway.java:118');
    await page.keyboard.press('c');
    await page.locator('dialog .here').waitFor();
    expect(await page.locator('dialog .context > .line').count()).toBeGreaterThan(5);
    expect(new URL(page.url()).searchParams.get('context')).toContain('~');
    await page.keyboard.press('Escape');
    await until(() => page.locator('dialog').count(), (n) => n === 0);
    await page.keyboard.press('j');
    await page.keyboard.press('k');
    await page.keyboard.press('?');
    await page.locator('dialog', { hasText: 'Next error' }).waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('g');
    await page.keyboard.press('d');
    await page.waitForURL(/\/dashboards/);
    await leave();
  });

  test('colours, JSON, +/− filters, columns, links to the trace', async () => {
    const page = await open(explore(`${Q} level:warn`));
    await page.locator('.ansi-yellow', { hasText: 'slow' }).first().waitFor();
    await page.goto(TAILRACE + explore(`${Q} level:debug`));
    await page.locator('.row .line').first().click();
    await page.locator('.detail .json-key', { hasText: 'event' }).first().waitFor();
    await page.goto(TAILRACE + explore(`${Q} level:error`));
    await page.locator('.row .line').first().click();
    await page.locator('.detail button', { hasText: 'Same trace' }).click();
    await page.waitForURL(/trace/);
    await until(() => total(page), (n) => n === String(ERRORS / 2));
    await page.locator('.row .line').first().click();
    const type = page.locator('.fields tr', { has: page.locator('th', { hasText: /^error\.type$/ }) });
    await type.getByRole('button', { name: 'as a column' }).click();
    await page.locator('.head-cell', { hasText: 'exception' }).or(page.locator('.head-cell', { hasText: 'type' })).first().waitFor();
    await type.getByRole('button', { name: /^Not / }).click();
    await page.getByText('No line matches').waitFor();
    await leave();
  });

  test('new lines wait behind a pill, and nothing moves', async () => {
    const page = await open(explore(`service:pill-${RUN}`, { refresh: '2s' }));
    await page.locator('.empty').waitFor();
    const line = (i: number): LogLine => ({ service: `pill-${RUN}`, level: 'info', message: `line ${i}` });
    await send([line(1), line(2)]);
    await until(() => rows(page), (n) => n === 2);
    await send([line(3), line(4), line(5)]);
    await page.locator('.pill', { hasText: '3 new lines' }).waitFor();
    expect(await rows(page)).toBe(2);
    await page.locator('.pill').click();
    await until(() => rows(page), (n) => n === 5);
    await leave();
  });

  test('a typed time range', async () => {
    const page = await open(explore(Q));
    await page.locator('.row').first().waitFor();
    await page.keyboard.press('p');
    await page.keyboard.type('yesterday 14:00-15:00');
    await page.keyboard.press('Enter');
    await page.waitForURL(/from=\d{4}-\d\d-\d\dT13:00/);
    await page.getByText('No line matches').waitFor();
    await page.locator('.empty-acts button', { hasText: 'last 7 days' }).click();
    await until(() => total(page), (n) => n === String(TOTAL));
    await leave();
  });

  test('patterns group the lines, and lead to them', async () => {
    const page = await open(explore(Q, { view: 'patterns' }));
    const pattern = page.locator('.pattern', { hasText: 'payment failed for order' });
    await pattern.waitFor();
    expect(await pattern.locator('b').first().textContent()).toBe(String(ERRORS));
    await pattern.locator('.pattern-open').click();
    await until(() => total(page), (n) => n === String(ERRORS));
    await leave();
  });

  test('compares with the period before', async () => {
    const page = await open(explore(Q, { compare: '1' }));
    await page.locator('.total .change', { hasText: 'new' }).waitFor();
    await leave();
  });
});

describe('Rules', () => {
  test('the list, unmatched lines and the playground', async () => {
    const page = await open('/rules');
    await page.locator('.rules-list, .empty').waitFor();
    await page.locator('.tabs a', { hasText: 'Playground' }).click();
    await page.locator('.play-result .v', { hasText: 'no card: retrying' }).waitFor();
    expect(await page.locator('.play-result.none').count()).toBe(1);
    await page.locator('button', { hasText: 'Keep as examples' }).click();
    expect(await page.locator('#play-rule').inputValue()).toContain('no_match: true');
    // The rule with its examples is accepted: what was written is what comes out.
    await until(() => page.locator('.play-problems').count(), (n) => n === 0);
    await page.locator('#play-rule').fill('name: x\nsteps:\n  - patern: "<message>"\n');
    await page.locator('.play-problems', { hasText: 'patern' }).waitFor();
    await leave();
  });
});

describe('everywhere', () => {
  const VIEWS: [string, string][] = [
    ['Explore', explore(Q)], ['patterns', explore(Q, { view: 'patterns', compare: '1' })], ['Live', `/live?q=${Q}`], ['overview', '/dashboards/overview?from=now-1h'],
    ['errors', '/dashboards/errors?from=now-1h'], ['pipeline', '/dashboards/pipeline'], ['rules', '/rules'], ['playground', '/rules/playground'],
  ];
  const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

  test.each(VIEWS.flatMap(([name, path]) => [[name, 'light', path], [name, 'dark', path]] as const))('%s in %s has no accessibility violations', async (_name, scheme, path) => {
    const page = await open(path, { scheme });
    await page.locator('main').waitFor();
    await until(() => page.locator('.busy.on').count(), (n) => n === 0, 30_000);
    if (path.startsWith('/explore') && !path.includes('patterns')) {
      await page.locator('.row .line').first().click();
      await page.locator('.detail').first().waitFor();
    }
    // The page's policy forbids injected scripts; the browser's own door is open.
    const session = await page.context().newCDPSession(page);
    const { readFileSync } = await import('node:fs');
    await session.send('Runtime.evaluate', { expression: readFileSync(axe, 'utf8') });
    const answer = await session.send('Runtime.evaluate', {
      expression: "axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }).then((r) => r.violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + ' ' + n.any.map((a) => a.message).join('; ')).join(' | ')}`))",
      awaitPromise: true, returnByValue: true,
    });
    expect(answer.result.value).toEqual([]);
    await leave();
  });

  test.each(VIEWS)('%s fits a phone', async (_name, path) => {
    const page = await open(path, { phone: true });
    await page.locator('main').waitFor();
    await until(() => page.locator('.busy.on').count(), (n) => n === 0, 30_000);
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
    await leave();
  });

  test('the content security policy lets nothing in', async () => {
    const answer = await fetch(`${TAILRACE}/explore`);
    const policy = answer.headers.get('content-security-policy') ?? '';
    expect(policy).toMatch(/default-src 'none'|default-src 'self'/);
    expect(policy).not.toMatch(/unsafe-inline|unsafe-eval|\*/);
    expect(await answer.text()).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|https?:\/\//);
  });

  test('says what to do when the server is away, and recovers', async () => {
    const page = await open(explore(Q));
    await page.locator('.row').first().waitFor();
    await page.context().setOffline(true);
    await page.keyboard.press('r');
    await page.locator('.failure', { hasText: 'Try again' }).waitFor({ timeout: SOON });
    await page.context().setOffline(false);
    await page.locator('.failure button').click();
    await page.locator('.row').first().waitFor();
    await leave(/ERR_INTERNET_DISCONNECTED|Failed to load/);
  });
});
