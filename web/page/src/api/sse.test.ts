import { expect, test } from 'vitest';
import { EventParser } from './sse';

const STREAM = ': hello\n\nevent: lines\ndata: {"hits":[]}\n\ndata: one\ndata:two\n\r\n\r\nevent: stats\r\ndata: {"n":"ü"}\r\n\r\nevent: cut\ndata: x';
const EXPECTED = [
  { event: 'lines', data: '{"hits":[]}' }, { event: 'message', data: 'one\ntwo' }, { event: 'stats', data: '{"n":"ü"}' },
];

test('any cut of the stream gives the same events', () => {
  for (let size = 1; size <= STREAM.length; size++) {
    const parser = new EventParser();
    const events = [];
    for (let at = 0; at < STREAM.length; at += size) events.push(...parser.push(STREAM.slice(at, at + size)));
    expect(events).toEqual(EXPECTED);
  }
});
