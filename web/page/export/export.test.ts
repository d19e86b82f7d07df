import { expect, test } from 'vitest';
import { BUILTIN } from '../src/dashboards/builtin';
import { grafana } from './grafana';
import { kibana } from './kibana';
import { lucene } from './lucene';

test.each([
  ['level:(error OR fatal)', 'log.level:(error OR fatal)'], ['status>=500', 'http.response.status_code:>=500'], ['status:[400 TO 499]', 'http.response.status_code:[400 TO 499]'],
  ['-path:/health "a b"', 'NOT url.path:/health "a b"'], ['', ''],
])('%s', (q, expected) => expect(lucene(q)).toBe(expected));

test('a short name that nobody knows is refused', () => expect(() => lucene('nonsense:1')).toThrow(/nonsense/));

test('every reference of a saved object leads to one in the same file', () => {
  const all = kibana(BUILTIN).trim().split('\n').map((line) => JSON.parse(line));
  const known = new Set(all.map((o) => `${o.type} ${o.id}`));
  expect(known.size).toBe(all.length);
  for (const object of all) {
    for (const reference of object.references) expect(known).toContain(`${reference.type} ${reference.id}`);
    for (const name of ['visState', 'panelsJSON']) if (object.attributes[name]) JSON.parse(object.attributes[name]);
    if (object.attributes.visState) {
      const { aggs } = JSON.parse(object.attributes.visState);
      expect(new Set(aggs.map((a: { id: string }) => a.id)).size, object.id).toBe(aggs.length);
    }
  }
  expect(all.filter((o) => o.type === 'dashboard')).toHaveLength(Object.keys(BUILTIN).length);
});

test('no two panels lie on each other', () => {
  const overlap = (a: number[], b: number[]) => a[0]! < b[0]! + b[2]! && b[0]! < a[0]! + a[2]! && a[1]! < b[1]! + b[3]! && b[1]! < a[1]! + a[3]!;
  for (const [name, dashboard] of Object.entries(BUILTIN)) {
    const boxes = (grafana(name, dashboard).panels ?? []).map((p) => ('gridPos' in p && p.gridPos ? [p.gridPos.x, p.gridPos.y, p.gridPos.w, p.gridPos.h] : []));
    for (const [i, a] of boxes.entries()) for (const b of boxes.slice(i + 1)) expect(overlap(a, b), `${name}: ${a} ${b}`).toBe(false);
    for (const box of boxes) expect(box[0]! + box[2]!).toBeLessThanOrEqual(24);
  }
});

test('intervals are such that Elasticsearch knows', () => {
  for (const [name, dashboard] of Object.entries(BUILTIN)) {
    const text = JSON.stringify(grafana(name, dashboard));
    for (const [, interval] of text.matchAll(/"interval":"([^"]*)"/g)) expect(interval, name).toMatch(/^(auto|\d+(ms|s|m|h|d))$/);
  }
});
