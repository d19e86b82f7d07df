// The dashboards that are always there: what their figures, tables and charts say of lines that are known.

import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { text, type Source } from '../src/text/document';
import { bytes, dateClock } from '../src/time/format';
import { becomes, indexed, send, TAILRACE, until, type LogLine } from './browser';
import { browsing, ERRORS, param, RUN, total, TOTAL, withShop } from './shop';

const { open, leave } = browsing();
const Q = withShop('board');

const MINUTE = 60_000;
const address = (name: string, q: string, more: Record<string, string> = {}) => `/dashboards/${name}?${new URLSearchParams({ from: 'now-1h', q, ...more })}`;
const times = (n: number, line: LogLine) => Array.from({ length: n }, () => line);

/** A panel by its kind and title: two of a dashboard may have one title. */
const tile = (page: Page, kind: string, title: string) => page.locator(`.tile-${kind}[aria-label="${title}"]`);
/** Title and figure of each card. */
const figures = (page: Page) => page.locator('.tile-figure').evaluateAll((tiles) => tiles.map((one) => [one.getAttribute('aria-label'), one.querySelector('.figure')?.textContent]));
const figure = (page: Page, title: string) => tile(page, 'figure', title).locator('.figure').textContent();
/** The cells of a table, row by row. */
const table = (page: Page, title: string) => tile(page, 'top', title).locator('tbody tr').evaluateAll((rows) => rows.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent)));
/** Values and shares of a donut, the largest first. */
const shares = (page: Page, title: string) => tile(page, 'donut', title).locator('li').evaluateAll((items) => items.map((item) => `${item.querySelector('a, span')?.textContent} ${item.querySelector('b')?.textContent}`));
/** What a chart is called, which tells how much it shows, and its series. */
const chart = async (page: Page, title: string) => [await tile(page, 'timeline', title).locator('.chart').getAttribute('aria-label'), ...(await tile(page, 'timeline', title).locator('.names li').allTextContents())];

test.each(['overview', 'traffic', 'errors', 'kubernetes', 'pipeline'])('%s fills', async (name) => {
  const page = await open(`/dashboards/${name}?from=now-1h`);
  await page.locator('.tile').first().waitFor();
  await until(() => page.locator('.busy.on').count(), (n) => n === 0, 30_000);
  expect(await page.locator('.panel-problem').allTextContents()).toEqual([]);
  if (name !== 'pipeline') await until(() => page.locator('.figure').first().textContent(), (text) => text !== '…');
  await leave();
});

test('the filter narrows the whole dashboard', async () => {
  const page = await open(`/dashboards/overview?from=now-1h&q=${Q}`);
  await until(() => page.locator('.tile-figure .figure').first().textContent(), (text) => text === String(TOTAL));
  await until(() => page.locator('.tile-figure .figure').nth(1).textContent(), (text) => text === String(ERRORS));
  await leave();
});

describe('overview', () => {
  const service = (name: string) => `over-${RUN}-${name}`;
  const ALL = `service:over-${RUN}-*`;

  beforeAll(async () => {
    // Five minutes old when they arrive: that is their lag.
    const timestamp = new Date(Date.now() - 5 * MINUTE).toISOString();
    const line = (name: string, level: string, message: string): LogLine => ({ service: service(name), timestamp, level, message });
    await send([
      ...times(60, line('web', 'info', 'served')), ...times(20, line('web', 'debug', 'cache hit')),
      ...times(40, line('pay', 'info', 'paid')), ...times(10, line('pay', 'warn', 'slow')), ...times(15, line('pay', 'error', 'refused')), ...times(5, line('pay', 'fatal', 'out of memory')),
      ...times(48, line('db', 'info', 'checkpoint')), line('db', 'error', 'disk is full'), line('db', 'error', 'read only'),
    ]);
    await indexed(ALL, 200);
  });

  test('counts lines, errors, their share, and services', async () => {
    const page = await open(address('overview', ALL));
    await becomes(() => figures(page), [['Lines', '200'], ['Errors', '22'], ['Error rate', '11 %'], ['Services', '3'], ['Pods', '0']]);
    await becomes(() => tile(page, 'lag', 'Lag').locator('p').allTextContents(), ['5 min', 'slowest stream 5 min']);
    await becomes(() => chart(page, 'Lines by level'), ['Lines by level, 200 in all', 'debug', 'info', 'warn', 'error', 'fatal']);
    await becomes(() => shares(page, 'Levels'), ['info 74 %', 'debug 10 %', 'error 8.5 %', 'warn 5 %', 'fatal 2.5 %']);
    expect(await tile(page, 'donut', 'Levels').locator('.donut-total').textContent()).toBe('200');
    await becomes(() => chart(page, 'Errors by service'), ['Errors by service, 22 in all', service('pay'), service('db')]);
    await becomes(() => table(page, 'Services'), [[service('web'), '80'], [service('pay'), '70'], [service('db'), '50']]);
    await becomes(() => table(page, 'Services with errors'), [[service('pay'), '20'], [service('db'), '2']]);
    await leave();
  });

  test('its newest errors, figures and rows lead to their lines', async () => {
    const page = await open(address('overview', ALL));
    const newest = tile(page, 'newest', 'Newest errors').locator('a.line');
    await becomes(() => newest.count(), 12);
    expect(new Set(await newest.locator('.level').allTextContents())).toEqual(new Set(['error', 'fatal']));
    // All are of one moment: the last one sent is the newest.
    expect(await newest.first().locator('.message').textContent()).toBe('read only');
    await newest.first().click();
    await page.locator('dialog .here .message', { hasText: 'read only' }).waitFor();
    await page.goBack();
    await tile(page, 'top', 'Services with errors').getByRole('link', { name: service('pay') }).click();
    await becomes(() => total(page), '20');
    await page.goBack();
    await tile(page, 'donut', 'Levels').getByRole('link', { name: 'warn' }).click();
    await becomes(() => total(page), '10');
    await page.goBack();
    await tile(page, 'figure', 'Errors').getByRole('link', { name: 'Explore: Errors' }).click();
    await becomes(() => total(page), '22');
    expect(new URL(page.url()).pathname).toBe('/explore');
    await leave();
  });
});

describe('traffic', () => {
  const REQUESTS = `service:traffic-${RUN}`;

  beforeAll(async () => {
    const timestamp = new Date(Date.now() - 5 * MINUTE).toISOString();
    const request = (method: string, path: string, status: number, ms: number, size: number, client: string, agent: string): LogLine => ({
      service: `traffic-${RUN}`, timestamp, level: status >= 500 ? 'error' : 'info', message: `${method} ${path} ${status}`,
      meta: {
        'http.request.method': method, 'url.path': path, 'http.response.status_code': status, 'event.duration': ms * 1_000_000,
        'http.response.body.bytes': size, 'source.address': client, 'user_agent.original': agent,
      },
    });
    // Four of five take 20 ms, the fifth 800 ms: percentiles that no way of reckoning them changes.
    await send([
      ...times(110, request('GET', '/cart', 200, 20, 1_024, '10.1.0.1', 'Shop/1.0 (test)')),
      ...times(30, request('POST', '/pay', 200, 20, 2_048, '10.1.0.2', 'curl/8.0')),
      ...times(20, request('POST', '/pay', 303, 20, 2_048, '10.1.0.2', 'curl/8.0')),
      ...times(10, request('POST', '/pay', 503, 800, 2_048, '10.1.0.2', 'curl/8.0')),
      ...times(30, request('GET', '/old', 404, 800, 512, '10.1.0.3', 'curl/8.0')),
      // No request: a figure that counts it is wrong.
      { service: `traffic-${RUN}`, timestamp, level: 'info', message: 'started' },
    ]);
    await indexed(REQUESTS, 201);
  });

  test('counts requests by what became of them', async () => {
    const page = await open(address('traffic', REQUESTS));
    await becomes(() => figures(page), [['Requests', '200'], ['Server errors', '5 %'], ['Client errors', '15 %'], ['p95 latency', '800 ms'], ['Bytes sent', '245 KiB'], ['Clients', '3']]);
    await becomes(() => chart(page, 'Requests by class of status'), ['Requests by class of status, 200 in all', '2xx', '3xx', '4xx', '5xx']);
    await becomes(() => shares(page, 'Status'), ['200 70 %', '404 15 %', '303 10 %', '503 5 %']);
    await becomes(() => table(page, 'Paths'), [['/cart', '110', '20 ms', '110 KiB'], ['/pay', '60', '800 ms', '120 KiB'], ['/old', '30', '800 ms', '15 KiB']]);
    await becomes(() => table(page, 'Paths with server errors'), [['/pay', '10']]);
    await becomes(() => table(page, 'Methods'), [['GET', '140'], ['POST', '60']]);
    await becomes(() => table(page, 'Clients'), [['10.1.0.1', '110', '110 KiB'], ['10.1.0.2', '60', '120 KiB'], ['10.1.0.3', '30', '15 KiB']]);
    await becomes(() => table(page, 'User agents'), [['Shop/1.0 (test)', '110'], ['curl/8.0', '90']]);
    await tile(page, 'top', 'Paths with server errors').getByRole('link', { name: '/pay' }).click();
    await becomes(() => total(page), '10');
    await leave();
  });

  test('draws latency and bytes over time', async () => {
    const page = await open(address('traffic', REQUESTS));
    /** Goes back in time with the arrow key, as far as a point that says this. */
    const reads = async (title: string, said: string) => {
      const plot = tile(page, 'lines', title).locator('.plot');
      await plot.focus();
      await until(async () => {
        await page.keyboard.press('ArrowLeft');
        return plot.getAttribute('aria-label');
      }, (label) => label?.endsWith(`: ${said}`) === true);
    };
    await becomes(() => tile(page, 'lines', 'Latency').locator('.names li').allTextContents(), ['p50', 'p95', 'p99']);
    await reads('Latency', 'p50 20 ms, p95 800 ms, p99 800 ms');
    await reads('Bytes sent', 'sum 245 KiB');
    await leave();
  });
});

describe('errors', () => {
  const service = (name: string) => `fault-${RUN}-${name}`;
  const ALL = `service:fault-${RUN}-*`;
  /** When the first was; on whole seconds. */
  const FIRST = Math.floor(Date.now() / 1_000) * 1_000 - 10 * MINUTE;
  const stack = 'com.shop.Timeout: no answer\n\tat com.shop.Gateway.authorise(Gateway.java:118)\n\tat com.shop.Endpoint.post(Endpoint.java:41)';
  const line = (name: string, level: string, at: number, message: string, meta?: Record<string, unknown>): LogLine => ({ service: service(name), level, timestamp: new Date(at).toISOString(), message, ...(meta && { meta }) });
  const timeout = (at: number, i: number) => line('pay', 'error', at, `payment failed for order ${i}`, { 'error.type': 'com.shop.Timeout', 'error.stack_trace': stack });
  const every = (n: number, of: (i: number) => LogLine) => Array.from({ length: n }, (_, i) => of(i));
  /** Kind, first, last and count: three kinds, the second of which says no type, only a message with a number in it. */
  const KINDS = [
    { what: `com.shop.Timeout payment failed for order 11 ${service('pay')}`, first: FIRST, last: FIRST + 11 * 30_000, lines: '12' },
    { what: `${service('pay')} no stock for item 4`, first: FIRST, last: FIRST + 4_000, lines: '5' },
    { what: `com.shop.Refused the bank says no ${service('web')}`, first: FIRST + 2_000, last: FIRST + 8_000, lines: '3' },
  ];

  beforeAll(async () => {
    await send([
      ...every(12, (i) => timeout(FIRST + i * 30_000, i)),
      ...every(5, (i) => line('pay', 'error', FIRST + i * 1_000, `no stock for item ${i}`)),
      ...every(3, (i) => line('web', 'fatal', FIRST + 2_000 + i * 3_000, 'the bank says no', { 'error.type': 'com.shop.Refused' })),
      ...every(20, (i) => line('web', 'info', FIRST + i * 1_000, `order ${i} accepted`)),
      // In the period before there was one kind only.
      timeout(FIRST - 80 * MINUTE, 99),
    ]);
    await indexed(ALL, 41);
  });

  test('tells kinds of errors apart: how often, since when, an example of each', async () => {
    const page = await open(address('errors', ALL, { tz: 'utc' }));
    await becomes(() => figures(page), [['Errors', '20'], ['Kinds', '3'], ['Services with errors', '2'], ['Share of all lines', '50 %']]);
    await becomes(() => tile(page, 'figure', 'Errors').locator('.figure-change').textContent(), '▲ ×20, was 1');
    const kinds = () => tile(page, 'top', 'Kinds of errors').locator('tbody tr').evaluateAll((rows) => rows.map((row) => {
      const [first, last] = [...row.querySelectorAll('.when')].map((cell) => cell.getAttribute('title'));
      return { what: row.querySelector('.name a')?.textContent, first, last, lines: row.querySelector('.num')?.textContent };
    }));
    await becomes(kinds, KINDS.map(({ first, last, ...kind }) => ({ what: kind.what, first: dateClock(first, 'utc'), last: dateClock(last, 'utc'), lines: kind.lines })));
    // The first was there in the hour before; the others are new.
    await becomes(() => tile(page, 'top', 'Kinds of errors').locator('tbody tr').evaluateAll((rows) => rows.map((row) => row.querySelector('.new') !== null)), [false, true, true]);
    await becomes(() => table(page, 'Types'), [['com.shop.Timeout', '12'], ['com.shop.Refused', '3']]);
    await becomes(() => chart(page, 'Errors by service'), ['Errors by service, 20 in all', service('pay'), service('web')]);
    await becomes(() => tile(page, 'newest', 'Newest').locator('a.line').count(), 15);
    await tile(page, 'top', 'Kinds of errors').locator('tbody a').first().click();
    await becomes(() => total(page), '12');
    expect(await param(page, 'q')).toContain('fingerprint:');
    await leave();
  });

  test('opens over a week when the address has no range', async () => {
    const page = await open(`/dashboards/errors?q=${ALL}`);
    await becomes(() => param(page, 'from'), 'now-7d');
    await becomes(() => figure(page, 'Errors'), '21');
    await becomes(() => chart(page, 'Errors by service'), ['Errors by service, 21 in all', service('pay'), service('web')]);
    await leave();
  });
});

/** Only an agent knows of pods: `tests/tests/e2e/page.rs` writes the logs of these, and starts one. */
describe.skipIf(!process.env.TAILRACE_PODS)('kubernetes', () => {
  const PODS = 'namespace:page-*';

  beforeAll(async () => {
    await indexed(PODS, 150);
  });

  test('counts namespaces, pods, containers and restarts', async () => {
    const page = await open(address('kubernetes', PODS));
    await becomes(() => figures(page), [['Namespaces', '2'], ['Pods', '3'], ['Containers', '5'], ['Nodes', '1']]);
    // What lines take of their files is as the documents say.
    const answer = await fetch(`${TAILRACE}/api/v1/search?${new URLSearchParams({ q: PODS, from: 'now-1h', size: '1000' })}`);
    const { hits } = (await answer.json()) as { hits: { source: Source }[] };
    const size = (field: string, value: string) => bytes(hits.reduce((sum, { source }) => sum + (text(source, field) === value ? Number(text(source, 'tailrace.length')) : 0), 0));
    await becomes(() => chart(page, 'Lines by namespace'), ['Lines by namespace, 150 in all', 'page-front', 'page-back']);
    await becomes(() => table(page, 'Namespaces'), [['page-front', '100'], ['page-back', '50']].map(([name = '', n = '']) => [name, n, size('kubernetes.namespace', name)]));
    await becomes(() => table(page, 'Noisiest pods'), [['web-1', '80'], ['db-1', '50'], ['web-2', '20']].map(([name = '', n = '']) => [name, n, size('kubernetes.pod.name', name)]));
    // The container of `web-1` was started twice.
    await becomes(() => table(page, 'Restarts'), [['web-1 / web', '1']]);
    await becomes(() => table(page, 'Nodes'), [['node-1', '150']]);
    await becomes(() => table(page, 'Pods with errors'), [['web-2', '5']]);
    await becomes(() => tile(page, 'top', 'Images').locator('.panel-empty').textContent(), 'Nothing in this range');
    await tile(page, 'top', 'Restarts').getByRole('link', { name: 'web-1 / web' }).click();
    await becomes(() => total(page), '80');
    await leave();
  });
});

describe('pipeline', () => {
  const PIPE = `service:pipe-${RUN}`;
  const N = 30;

  beforeAll(async () => {
    // Of one request, which is a stream of its own.
    await send(Array.from({ length: N }, (_, i): LogLine => ({ service: `pipe-${RUN}`, level: 'info', message: `drop ${i}` })));
    await indexed(PIPE, N);
  });

  test('shows what came, what became of it, and where it waits', async () => {
    const page = await open(address('pipeline', PIPE));
    const facts = () => tile(page, 'outputs', 'This aggregator').locator('.facts > div').evaluateAll((all) => all.map((one) => [one.querySelector('dt')?.textContent ?? '', one.querySelector('dd')?.getAttribute('title') ?? one.querySelector('dd')?.textContent ?? ''] as const));
    await becomes(async () => (await facts()).map(([name]) => name), ['version', 'up', 'memory', 'records', 'indexed', 'already there', 'retried', 'mended', 'parked', 'dead letters', 'dropped by rules']);
    await until(facts, (all) => Number(new Map(all).get('indexed')?.replaceAll(',', '')) >= N);
    for (const [name, value] of await facts()) expect([name, value]).toEqual([name, expect.stringMatching(/^\d/)]);
    await until(() => page.locator('.output').first().textContent(), (said) => /buffer \S+ \S+ of \S+ \S+ \(.+ %\)|\S+ \S+ held/.test(said ?? ''));
    // Of two polls that differ, the throughput.
    await tile(page, 'throughput', 'Documents a second, since this page was opened').locator('.chart').waitFor();
    await leave();
  });

  test('shows the streams with their lag, and the rules', async () => {
    const page = await open(address('pipeline', PIPE));
    const streams = () => tile(page, 'streams', 'Streams, the slowest first').locator('tbody tr').evaluateAll((rows) => rows.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent ?? '')));
    const [stream = [], ...others] = await until(streams, (rows) => rows.length > 0);
    expect(others).toEqual([]);
    const [name, node, lines, size, lag] = stream;
    expect([name, node, lines]).toEqual([`pipe-${RUN}`, '–', String(N)]);
    expect(size).toMatch(/^\d\S* (B|KiB)$/);
    expect(lag).toMatch(/^\d.* (ms|s|min)$/);
    await becomes(() => tile(page, 'timeline', 'Lines by node').locator('.chart').getAttribute('aria-label'), `Lines by node, ${N} in all`);
    const rules = () => tile(page, 'rules', 'Rules').locator('tbody tr').evaluateAll((rows) => rows.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent ?? '')));
    const all = await until(rules, (rows) => rows.length > 1);
    expect(all.at(-1)?.[0]).toBe('unmatched');
    for (const [rule, documents] of all) expect([rule, documents]).toEqual([rule, expect.stringMatching(/^\d/)]);
    await tile(page, 'streams', 'Streams, the slowest first').getByRole('link', { name: `pipe-${RUN}` }).click();
    await becomes(() => total(page), String(N));
    expect(await param(page, 'q')).toContain('stream:');
    await leave();
  });
});
