import { describe, expect, test } from 'vitest';
import { absolute, before, pan, parseRange, resolveRange, zoom, type Range } from './range';

// A Wednesday.
const NOW = Date.parse('2026-11-25T15:30:00Z');

/** Resolved ends in UTC, or what is wrong. */
function read(typed: string, now = NOW): string {
  const parsed = parseRange(typed, now, 'utc');
  if ('error' in parsed) return `error: ${parsed.error}`;
  const [from, to] = resolveRange(parsed.range, now);
  return [from, to].map((at) => new Date(at).toISOString().replace(/:00\.000Z$|\.000Z$/, '')).join(' … ');
}

describe('what people type', () => {
  test.each([
    ['2h', '2026-11-25T13:30 … 2026-11-25T15:30'],
    ['last 2 hours', '2026-11-25T13:30 … 2026-11-25T15:30'],
    ['15 min', '2026-11-25T15:15 … 2026-11-25T15:30'],
    ['1h30m', '2026-11-25T14:00 … 2026-11-25T15:30'],
    ['30m ago', '2026-11-25T15:00 … 2026-11-25T15:30'],
    ['now-1d', '2026-11-24T15:30 … 2026-11-25T15:30'],
    ['3h - 1h', '2026-11-25T12:30 … 2026-11-25T14:30'],
    ['now-3h to now-1h', '2026-11-25T12:30 … 2026-11-25T14:30'],
    ['2h ago to now', '2026-11-25T13:30 … 2026-11-25T15:30'],
    ['today', '2026-11-25T00:00 … 2026-11-25T15:30'],
    ['yesterday', '2026-11-24T00:00 … 2026-11-25T00:00'],
    ['yesterday 14:00-15:00', '2026-11-24T14:00 … 2026-11-24T15:00'],
    ['yesterday 14:00 – 15:00', '2026-11-24T14:00 … 2026-11-24T15:00'],
    ['14:00-15:00', '2026-11-25T14:00 … 2026-11-25T15:00'],
    ['14:00', '2026-11-25T14:00 … 2026-11-25T15:30'],
    ['14:00:05.250 - 14:00:06', '2026-11-25T14:00:05.250Z … 2026-11-25T14:00:06'],
    ['yesterday 23:00-01:00', '2026-11-24T23:00 … 2026-11-25T01:00'],
    ['2026-11-20', '2026-11-20T00:00 … 2026-11-21T00:00'],
    ['2026-11-20 14:00 to now', '2026-11-20T14:00 … 2026-11-25T15:30'],
    ['2026-11-20 14:00 - 15:00', '2026-11-20T14:00 … 2026-11-20T15:00'],
    ['2026-11-20 14:00 - 2026-11-21 15:00', '2026-11-20T14:00 … 2026-11-21T15:00'],
    ['2026-11-20/2026-11-21', '2026-11-20T00:00 … 2026-11-22T00:00'],
    ['2026-11-20T14:00:00Z to 2026-11-20T16:00:00+01:00', '2026-11-20T14:00 … 2026-11-20T15:00'],
    ['2026-10', '2026-10-01T00:00 … 2026-11-01T00:00'],
    ['25 Oct', '2026-10-25T00:00 … 2026-10-26T00:00'],
    ['Oct 25, 2025', '2025-10-25T00:00 … 2025-10-26T00:00'],
    ['30 december', '2025-12-30T00:00 … 2025-12-31T00:00'],
    ['monday', '2026-11-23T00:00 … 2026-11-24T00:00'],
    ['monday 10:00-11:30', '2026-11-23T10:00 … 2026-11-23T11:30'],
    ['last wednesday', '2026-11-18T00:00 … 2026-11-19T00:00'],
    ['this week', '2026-11-23T00:00 … 2026-11-25T15:30'],
    ['last week', '2026-11-16T00:00 … 2026-11-23T00:00'],
    ['last month', '2026-10-01T00:00 … 2026-11-01T00:00'],
    ['1764000000', '2025-11-24T16:00 … 2026-11-25T15:30'],
    ['1764000000000 to 1764003600000', '2025-11-24T16:00 … 2025-11-24T17:00'],
  ])('%s', (typed, expected) => expect(read(typed)).toBe(expected));

  test.each(['', 'soon', '2026-02-31', '25:00-26:00x', '2026-13-01', '2h to banana', '15:00-14:00 yesterday'])('%s is refused with a hint', (typed) => {
    expect(read(typed)).toMatch(/^error: .*Try 2h/);
  });
  test('ends in the wrong order are said to be so', () => {
    expect(read('1h to 3h')).toBe('error: the range ends before it begins');
    expect(read('1h to 1h')).toMatch(/empty/);
  });
  test('a time of day that has not come yet is yesterday’s', () => {
    expect(read('23:50', Date.parse('2026-11-25T01:00:00Z'))).toBe('2026-11-24T23:50 … 2026-11-25T01:00');
  });
  test('relative ranges stay relative, so that a link means the same tomorrow', () => {
    expect(parseRange('2h', NOW, 'utc')).toEqual({ range: { from: 'now-2h', to: 'now' } });
  });
});

describe('zoom and pan', () => {
  const hour: Range = { from: 'now-1h', to: 'now' };
  test('widening a range that follows now goes on following', () => {
    expect(zoom(hour, 2, NOW)).toEqual({ from: 'now-2h', to: 'now' });
    expect(zoom(hour, 0.5, NOW)).toEqual({ from: 'now-30m', to: 'now' });
  });
  test('a fixed range keeps its middle, and never passes now', () => {
    const range = absolute(NOW - 4 * 3.6e6, NOW - 2 * 3.6e6);
    expect(resolveRange(zoom(range, 0.5, NOW), NOW)).toEqual([NOW - 3.5 * 3.6e6, NOW - 2.5 * 3.6e6]);
    expect(resolveRange(zoom(range, 8, NOW), NOW)[1]).toBe(NOW);
  });
  test('pan moves by a share of the span', () => {
    expect(resolveRange(pan(hour, -0.5, NOW), NOW)).toEqual([NOW - 1.5 * 3.6e6, NOW - 0.5 * 3.6e6]);
    expect(resolveRange(pan(hour, 0.5, NOW), NOW)).toEqual([NOW - 3.6e6, NOW]);
  });
  test('the period before ends where this one begins', () => {
    expect(resolveRange(before(hour, NOW), NOW)).toEqual([NOW - 7.2e6, NOW - 3.6e6]);
  });
  test('an address with nonsense shows the default range', () => {
    expect(resolveRange({ from: 'x', to: 'y' }, NOW)).toEqual([NOW - 900_000, NOW]);
  });
});
