import { expect, test } from 'vitest';
import { pinched } from './touch';

const shown = { from: 1_000, to: 2_000 };

test('two fingers that do not move change nothing', () => {
  expect(pinched(shown, 400, [100, 300], [100, 300])).toEqual(shown);
});

test('two fingers that spread show less, and what was under them stays under them', () => {
  expect(pinched(shown, 400, [100, 300], [0, 400])).toEqual({ from: 1_250, to: 1_750 });
});

test('two fingers that close show more', () => {
  expect(pinched(shown, 400, [0, 400], [100, 300])).toEqual({ from: 500, to: 2_500 });
});

test('two fingers that move together move the range', () => {
  expect(pinched(shown, 400, [100, 300], [140, 340])).toEqual({ from: 900, to: 1_900 });
});

test('two fingers that meet do not show all of time', () => {
  const part = pinched(shown, 400, [0, 400], [200, 200]);
  expect(part.to - part.from).toBeLessThan(20_000);
});
