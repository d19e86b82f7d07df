import { describe, expect, test } from 'vitest';
import { ansiSegments, stripAnsi } from './ansi';
import { display, field, flatten, jsonParts, levelOf, links, parseJson } from './document';
import { foldLabel, foldTrace, isTrace } from './stack';

describe('terminal colours', () => {
  test.each([
    ['plain', [['plain', '']]],
    ['\u001b[31mred\u001b[0m rest', [['red', 'ansi-red'], [' rest', '']]],
    ['\u001b[1;32mok\u001b[22m still green', [['ok', 'ansi-green ansi-bold'], [' still green', 'ansi-green']]],
    ['\u001b[38;5;196mx\u001b[39my', [['x', 'ansi-red'], ['y', '']]],
    ['\u001b[38;2;10;120;200mx', [['x', 'ansi-blue']]],
    ['\u001b[48;5;21;33mx', [['x', 'ansi-yellow']]],
    ['\u001b]0;title\u0007a\u001b[2Kb', [['ab', '']]],
    ['\u001b[m\u001b[', []],
  ])('%j', (input, expected) => expect(ansiSegments(input).map((s) => [s.text, s.style])).toEqual(expected));
  test('stripping gives the same text as the segments', () => {
    const text = '\u001b[1mGET\u001b[0m /x \u001b[38;5;208m200\u001b[0m';
    expect(stripAnsi(text)).toBe('GET /x 200');
    expect(ansiSegments(text).map((s) => s.text).join('')).toBe('GET /x 200');
  });
});

describe('stack traces', () => {
  const JAVA = `com.shop.Timeout: no answer
\tat com.shop.Gateway.authorise(Gateway.java:118)
\tat org.springframework.aop.A.b(A.java:1)
\tat org.springframework.aop.A.c(A.java:2)
\tat java.base/java.lang.Thread.run(Thread.java:1583)
Caused by: java.net.SocketTimeoutException: Read timed out
\tat com.shop.Net.read(Net.java:3)`;
  const PYTHON = `Traceback (most recent call last):
  File "/app/shop/main.py", line 10, in pay
    gateway.authorise(order)
  File "/usr/lib/python3.12/site-packages/requests/api.py", line 59, in request
    return session.request(method=method, url=url)
  File "/usr/lib/python3.12/site-packages/requests/sessions.py", line 589, in request
    resp = self.send(prep)
ValueError: no`;
  test('Java: frameworks are folded, the cause is not', () => {
    expect(foldTrace(JAVA).map((b) => [b.kind, b.lines.length])).toEqual([['head', 1], ['own', 1], ['library', 3], ['head', 1], ['own', 1]]);
    expect(foldLabel(foldTrace(JAVA)[2]?.lines ?? [])).toBe('3 lines of org.springframework, java.base');
  });
  test('Python: a frame’s source line goes with it', () => {
    expect(foldTrace(PYTHON).map((b) => [b.kind, b.lines.length])).toEqual([['head', 1], ['own', 2], ['library', 4], ['head', 1]]);
  });
  test.each([JAVA, PYTHON, 'one line', '', 'a\n\nb'])('folding loses nothing', (trace) => {
    expect(foldTrace(trace).flatMap((b) => b.lines).join('\n')).toBe(trace);
  });
  test('few library frames are not worth a fold', () => {
    expect(foldTrace('E\n\tat com.shop.A.b(A.java:1)\n\tat java.lang.B.c(B.java:2)').map((b) => b.kind)).toEqual(['head', 'own']);
  });
  test('prose is no trace', () => {
    expect(isTrace(JAVA)).toBe(true);
    expect(isTrace(PYTHON)).toBe(true);
    expect(isTrace('looked at the shop\nat noon')).toBe(false);
  });
});

describe('documents', () => {
  const source = { '@timestamp': 't', 'log.level': 'warn', kubernetes: { pod: { name: 'p' }, labels: { 'app.kubernetes.io/name': 'shop' } }, tags: ['a', 'b'], empty: {}, tailrace: { rule: 'r' } };
  test.each([
    ['log.level', 'warn'], ['kubernetes.pod.name', 'p'], ['kubernetes.labels.app.kubernetes.io/name', 'shop'], ['tags', ['a', 'b']], ['no.such', undefined], ['kubernetes.pod.name.x', undefined],
  ])('field(%s)', (path, expected) => expect(field(source, path)).toEqual(expected));
  test('flattened, what matters first, book-keeping last', () => {
    expect(flatten(source).map(([name]) => name)).toEqual(['@timestamp', 'log.level', 'empty', 'kubernetes.labels.app.kubernetes.io/name', 'kubernetes.pod.name', 'tags', 'tailrace.rule']);
  });
  test.each([[null, ''], [['a', 1, null], 'a, 1, '], [{ a: 1 }, '{"a":1}'], [false, 'false']])('display(%j)', (value, expected) => expect(display(value)).toBe(expected));
  test.each([['ERROR', 'error'], ['Warning', 'warn'], ['CRITICAL', 'fatal'], ['notice', 'info'], ['', 'none'], [null, 'none'], ['fine', 'debug'], ['E', 'error']])('levelOf(%s)', (value, expected) => expect(levelOf(value)).toBe(expected));
  test('ids that lead on', () => expect(links({ trace: { id: 'x' }, attributes: { request_id: 7 } }).map((l) => l.value)).toEqual(['x', '7']));
  test('JSON in parts is the JSON', () => {
    const parts = jsonParts({ a: 'x "y"', b: [1.5e3, true, null] });
    expect(JSON.parse(parts.map((p) => p.text).join(''))).toEqual({ a: 'x "y"', b: [1500, true, null] });
    expect(parts.map((p) => p.kind).filter((k) => k !== 'plain')).toEqual(['key', 'string', 'key', 'number', 'literal', 'literal']);
  });
  test('only objects and arrays are JSON messages', () => {
    expect(parseJson(' {"a":1}')).toEqual({ a: 1 });
    expect(parseJson('12')).toBeUndefined();
    expect(parseJson('{broken')).toBeUndefined();
  });
});
