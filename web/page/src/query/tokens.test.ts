import { describe, expect, test } from 'vitest';
import { addClause, filteredValues, quote, removeClause, searchedWords, toggleFilter, tokens } from './tokens';

/** The pieces as `kind:text`, spaces left out. */
function cut(q: string): string[] {
  return tokens(q).filter((t) => t.kind !== 'space').map((t) => `${t.kind}:${q.slice(t.start, t.end)}`);
}

test.each([
  ['level:error', ['field:level', 'operator::', 'value:error']],
  ['-path:/health', ['not:-', 'field:path', 'operator::', 'value:/health']],
  ['took>=500 "time out"', ['field:took', 'operator:>=', 'value:500', 'quoted:"time out"']],
  ['took:>=500', ['field:took', 'operator::>=', 'value:500']],
  ['a OR (b AND NOT c)', ['text:a', 'keyword:OR', 'paren:(', 'text:b', 'keyword:AND', 'keyword:NOT', 'text:c', 'paren:)']],
  ['bytes:[1 TO 5}', ['field:bytes', 'operator::', 'value:[1 TO 5}']],
  ['http://x.y/z', ['text:http://x.y/z']],
  ['message:"a \\" b" c', ['field:message', 'operator::', 'quoted:"a \\" b"', 'text:c']],
  ['"open', ['quoted:"open']],
  ['level:', ['field:level', 'operator::']],
  ['kubernetes.labels.app-x:y', ['field:kubernetes.labels.app-x', 'operator::', 'value:y']],
])('pieces of %s', (q, expected) => expect(cut(q)).toEqual(expected));

test('pieces follow each other without gaps, whatever is typed', () => {
  const alphabet = ['a', ':', '"', '\\', ' ', '(', ')', '-', '>', '=', '[', ']', 'OR', 'ü', '\n', '!', '/'];
  let state = 7;
  for (let i = 0; i < 3_000; i++) {
    let q = '';
    for (let n = 0; n < 12; n++) q += alphabet[(state = (state * 1_103_515_245 + 12_345) & 0x7fffffff) % alphabet.length];
    const all = tokens(q);
    const whole = all.every((token, j) => token.end > token.start && token.start === (all[j - 1]?.end ?? 0)) && (all.at(-1)?.end ?? 0) === q.length;
    expect(whole, q).toBe(true);
  }
});

test.each([
  ['checkout', 'checkout'], ['/cart/items', '/cart/items'], ['10.0.0.1', '10.0.0.1'], ['a b', '"a b"'], ['say "hi"', '"say \\"hi\\""'], ['OR', '"OR"'], ['-x', '"-x"'], ['', '""'], ['größe', 'größe'], ['a*b', '"a*b"'],
])('quote(%s)', (value, expected) => expect(quote(value)).toBe(expected));

describe('filters by a click', () => {
  test.each([
    ['', 'level', 'error', false, 'level:error'],
    ['timeout', 'level', 'error', false, 'timeout level:error'],
    ['timeout level:error', 'level', 'error', false, 'timeout'],
    ['timeout level:error', 'level', 'error', true, 'timeout -level:error'],
    ['a OR b', 'level', 'error', false, '(a OR b) level:error'],
    ['(a OR b) x:y', 'level', 'error', true, '(a OR b) x:y -level:error'],
    ['*', 'service', 'a b', true, '-service:"a b"'],
    ['-service:"a b" x', 'service', 'a b', true, 'x'],
  ])('%s %s %s %s', (q, field, value, negate, expected) => expect(toggleFilter(q, field, value, negate)).toBe(expected));
  test('taking out a clause leaves no dangling operator', () => {
    expect(removeClause('a AND b', 'b')).toBe('a');
    expect(removeClause('a OR b', 'a')).toBe('b');
  });
  test('adding to everything is the clause alone', () => expect(addClause(' ', 'x:y')).toBe('x:y'));
});

test.each([
  ['level:error x', 'level', ['error']],
  ['-service:"a \\"b\\"" service:c -serviceable:d', 'service', ['a "b"', 'c']],
  ['(level:error OR level:warn) -(level:info) level:(debug OR trace) level:i*', 'level', []],
  ['level:', 'level', []],
])('values that %s filters for or leaves out', (q, field, expected) => expect(filteredValues(q, field)).toEqual(expected));

test.each([
  ['timeout "connection reset" level:error -noise NOT other', ['timeout', 'connection reset']],
  ['message:refused -message:"not this" x', ['refused']],
  ['time*', ['time']],
])('words to mark of %s', (q, expected) => expect(searchedWords(q)).toEqual(expected));
