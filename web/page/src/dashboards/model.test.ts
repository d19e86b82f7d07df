import { expect, test } from 'vitest';
import { BUILTIN } from './builtin';
import { both, readDashboard } from './model';

test.each([
  ['', '', ''], ['a', '', 'a'], [undefined, 'b', 'b'], ['a', 'b', 'a b'], ['a OR b', 'c', '(a OR b) c'], ['a', 'b OR c', 'a (b OR c)'], ['level:(error OR fatal)', 'x', 'level:(error OR fatal) x'],
])('both %s and %s', (a, b, expected) => expect(both(a, b)).toBe(expected));

test('what is exported can be imported', () => {
  for (const dashboard of Object.values(BUILTIN)) expect(readDashboard(JSON.parse(JSON.stringify(dashboard)))).toEqual(dashboard);
});

test.each([
  [null, /not a JSON object/], [{ panels: [] }, /`title`/], [{ title: 'x' }, /`panels`/], [{ title: 'x', panels: [{ type: 'pie', title: 'y' }] }, /panel 1 .*"pie"/],
  [{ title: 'x', panels: [{ type: 'top', title: 'y' }] }, /panel 1 lacks `by`/], [{ title: 'x', panels: [{ type: 'newest', title: 'y', q: 5 }] }, /query of panel 1/],
])('refused with the reason: %j', (value, reason) => expect(readDashboard(value)).toMatch(reason));

test('the rows of a dashboard are full', () => {
  for (const [name, { panels }] of Object.entries(BUILTIN)) {
    let row = 0;
    for (const panel of panels) {
      row += panel.width;
      expect(row, `${name}: ${panel.title}`).toBeLessThanOrEqual(12);
      if (row === 12) row = 0;
    }
    expect(row, name).toBe(0);
  }
});
