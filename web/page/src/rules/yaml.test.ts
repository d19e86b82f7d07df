import { expect, test } from 'vitest';
import { examples, scalar, withExamples } from './yaml';

test.each([
  ['plain text', 'plain text'], ["it's", "'it''s'"], ['a: b', "'a: b'"], ['true', "'true'"], ['12', "'12'"], ['', "''"], ['- x', "'- x'"], ['x #y', "'x #y'"], ['tab\there', '"tab\\there"'], ['größe', "'größe'"], ['ends ', "'ends '"],
])('scalar(%j)', (value, expected) => expect(scalar(value)).toBe(expected));

const LIST = [
  { line: '10:00 WARN x', dropped: false, document: { '@timestamp': '2024-05-01T10:00:00.000000000Z', log: { level: 'warn', offset: 7 }, attributes: { took_ms: 12.5 }, kubernetes: { namespace: 'n' } } },
  { line: 'noise', dropped: true },
  { line: "what's this", dropped: false },
];
const WRITTEN = `  - line: '10:00 WARN x'
    fields:
      '@timestamp': '2024-05-01T10:00:00.000000000Z'
      log.level: warn
      attributes.took_ms: 12.5
  - line: noise
    dropped: true
  - line: 'what''s this'
    no_match: true
`;

test('examples have what the line gave, and not what the stream gave', () => expect(examples(LIST)).toBe(WRITTEN));

test.each([
  ['name: a\nsteps: []\n', `name: a\nsteps: []\nexamples:\n${WRITTEN}`],
  ['name: a\nexamples:\n  - line: old\n    no_match: true\n\nsteps: []\n', `name: a\nexamples:\n${WRITTEN}steps: []\n`],
  ['name: a\nexamples:\n- line: old\n---\nname: b\n', `name: a\nexamples:\n${WRITTEN}---\nname: b\n`],
  ['examples: []\nname: a', `examples:\n${WRITTEN}name: a\n`],
])('written into %j', (rule, expected) => expect(withExamples(rule, LIST)).toBe(expected));
