// Just enough of the query language for development: words, phrases, field:value, comparisons,
// negation, OR at the top. The real one is the server's.

import type { Hit } from '../src/api/types';
import { tokens } from '../src/query/tokens';
import { text } from '../src/text/document';

export const ALIASES: Record<string, string> = {
  level: 'log.level', service: 'service.name', namespace: 'kubernetes.namespace', pod: 'kubernetes.pod.name', container: 'kubernetes.container.name',
  node: 'kubernetes.node.name', status: 'http.response.status_code', path: 'url.path', method: 'http.request.method', trace: 'trace.id', took: 'attributes.took',
  stream: 'log.iostream', rule: 'tailrace.rule', client: 'source.address', bytes: 'http.response.body.bytes', agent: 'user_agent.original', fingerprint: 'error.fingerprint',
};

export class QueryError extends Error {
  constructor(message: string, readonly position: number, readonly length: number) {
    super(message);
  }
}

type Test = (hit: Hit) => boolean;

export function compile(q: string): Test {
  const all = tokens(q).filter((t) => t.kind !== 'space');
  const any: Test[][] = [[]];
  let negate = false;
  for (let i = 0; i < all.length; i++) {
    const token = all[i];
    if (!token) break;
    const raw = q.slice(token.start, token.end);
    let test: Test | undefined;
    if (token.kind === 'paren') continue;
    if (token.kind === 'not' || raw === 'NOT') {
      negate = !negate;
      continue;
    }
    if (raw === 'OR') {
      any.push([]);
      continue;
    }
    if (raw === 'AND') continue;
    if (token.kind === 'field') {
      const operator = all[i + 1];
      const value = all[i + 2];
      if (operator && value?.kind === 'paren') {
        const end = all.findIndex((t, j) => j > i + 2 && t.kind === 'paren');
        const values = all.slice(i + 3, end < 0 ? undefined : end).map((t) => unquote(q.slice(t.start, t.end))).filter((v) => v !== 'OR');
        const tests = values.map((v) => compare(ALIASES[raw] ?? raw, ':', v));
        const isNot = negate;
        any.at(-1)?.push((hit) => tests.some((t) => t(hit)) !== isNot);
        negate = false;
        i = end < 0 ? all.length : end;
        continue;
      }
      if (!operator || !value || (value.kind !== 'value' && value.kind !== 'quoted')) throw new QueryError(`a value is missing after \`${raw}\``, token.end, 1);
      test = compare(ALIASES[raw] ?? raw, q.slice(operator.start, operator.end), unquote(q.slice(value.start, value.end)));
      i += 2;
    } else {
      const word = unquote(raw).toLowerCase();
      if (token.kind === 'quoted' && !/"$/.test(raw.slice(1))) throw new QueryError('this quotation does not end', token.start, 1);
      test = (hit) => text(hit.source, 'message').toLowerCase().includes(word);
    }
    const wanted = test;
    const isNot = negate;
    any.at(-1)?.push((hit) => wanted(hit) !== isNot);
    negate = false;
  }
  return (hit) => any.some((clauses) => clauses.every((clause) => clause(hit)));
}

function unquote(raw: string): string {
  return raw.startsWith('"') ? raw.slice(1).replace(/"$/, '').replace(/\\(.)/g, '$1') : raw;
}

function compare(field: string, operator: string, value: string): Test {
  const name = (hit: Hit) => text(hit.source, field) || text(hit.source, `attributes.${field}`);
  if (operator.includes('>') || operator.includes('<')) {
    const n = Number(value);
    return (hit) => {
      const v = name(hit);
      if (v === '') return false;
      return operator.endsWith('>=') ? Number(v) >= n : operator.endsWith('<=') ? Number(v) <= n : operator.endsWith('>') ? Number(v) > n : Number(v) < n;
    };
  }
  const span = /^\[(\S+) TO (\S+)[\]}]$/.exec(value);
  if (span) return (hit) => name(hit) !== '' && Number(name(hit)) >= Number(span[1]) && Number(name(hit)) <= Number(span[2]);
  if (value === '*') return (hit) => name(hit) !== '';
  if (value.includes('*')) {
    const regex = new RegExp(`^${value.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '.*')}$`, 'i');
    return (hit) => regex.test(name(hit));
  }
  if (field === 'message') return (hit) => name(hit).toLowerCase().includes(value.toLowerCase());
  return (hit) => name(hit) === value;
}
