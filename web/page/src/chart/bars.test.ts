import { expect, test } from 'vitest';
import { stack } from './bars';

test('each series stands on those below it', () => {
  const series = [[1, 0, 2], [3, 1, 0]].map((counts, i) => ({ label: String(i), color: '', counts }));
  expect(stack(series, 3)).toEqual([[1, 0, 2], [4, 1, 2]]);
  expect(stack([], 2)).toEqual([]);
});
