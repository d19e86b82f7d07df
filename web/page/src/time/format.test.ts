import { expect, test } from 'vitest';
import { ago, bytes, clock, compact, describeRange, duration, fullTime, percent } from './format';

const NOW = Date.parse('2026-11-25T15:30:00Z');

test.each([
  [{ from: 'now-15m', to: 'now' }, 'Last 15 minutes'],
  [{ from: 'now-1h', to: 'now' }, 'Last hour'],
  [{ from: '2026-11-25T14:00:00.000Z', to: '2026-11-25T15:00:00.000Z' }, '25 Nov 14:00 – 15:00'],
  [{ from: '2026-11-24T14:00:00.000Z', to: '2026-11-25T15:00:00.000Z' }, '24 Nov 14:00 – 25 Nov 15:00'],
  [{ from: '2025-11-24T14:00:00.000Z', to: 'now' }, 'Since 24 Nov 2025 14:00'],
])('a range is described: %o', (range, expected) => expect(describeRange(range, NOW, 'utc')).toBe(expected));

test('nanoseconds are kept', () => {
  expect(fullTime('2026-11-25T14:03:22.123456789Z', 'utc')).toBe('2026-11-25 14:03:22.123456789 UTC');
  expect(clock(Date.parse('2026-11-25T14:03:22.007Z'), 'utc')).toBe('14:03:22.007');
  expect(fullTime('never', 'utc')).toBe('never');
});

test.each([[0, '0 ms'], [340, '340 ms'], [2_400, '2.4 s'], [59_900, '59.9 s'], [300_000, '5 min'], [12_000_000, '3 h 20 min'], [187_200_000, '2 d 4 h'], [NaN, '–']])('duration %d', (ms, expected) => expect(duration(ms)).toBe(expected));
test.each([[0, '0'], [9_999, '9,999'], [12_345, '12.3k'], [1_234_567, '1.23M'], [0.126, '0.13'], [-20_000, '-20k']])('compact %d', (n, expected) => expect(compact(n)).toBe(expected));
test.each([[0, '0 B'], [1_536, '1.5 KiB'], [5 << 20, '5 MiB']])('bytes %d', (n, expected) => expect(bytes(n)).toBe(expected));
test.each([[0, '0 %'], [0.0004, '< 0.1 %'], [0.0421, '4.21 %'], [1, '100 %'], [NaN, '–']])('percent %d', (n, expected) => expect(percent(n)).toBe(expected));
test('how long ago', () => {
  expect(ago(NOW - 7_160, NOW)).toBe('7 s ago');
  expect(ago(NOW, NOW)).toBe('just now');
  expect(ago(NOW + 60_000, NOW)).toBe('in 1 min');
});
