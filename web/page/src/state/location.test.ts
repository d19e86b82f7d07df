import { expect, test } from 'vitest';
import { href, patched } from './location';

test('an address stays readable, and reads back as it was', () => {
  const params = new URLSearchParams({ q: 'level:error "a b" path:/x,y & #1', cols: 'service.name,message', from: '2026-11-25T14:00:00.000Z' });
  const url = href('/explore', params);
  expect(url).toContain('cols=service.name,message&from=2026-11-25T14:00:00.000Z');
  expect(new URL(url, 'http://x').searchParams.get('q')).toBe('level:error "a b" path:/x,y & #1');
});

test('a patch changes, adds and removes', () => {
  const params = new URLSearchParams('a=1&b=2');
  expect(patched(params, { a: undefined, b: '3', c: 'x', d: '' }).toString()).toBe('b=3&c=x');
  expect(params.toString()).toBe('a=1&b=2');
});
