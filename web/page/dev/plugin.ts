// The development server's answers to /api/v1: documents of a made-up shop, kept in memory. Never
// part of what is built or tested.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Plugin } from 'vite';
import type { Hit } from '../src/api/types';
import { flatten, text } from '../src/text/document';
import { resolveEnd } from '../src/time/range';
import { ALIASES, compile, QueryError } from './query';
import { makeHit } from './shop';

const HOURS = 26;
const DOCUMENTS = 60_000;
const A_SECOND = 12;

const documents: Hit[] = [];
const listeners = new Set<(hits: Hit[]) => void>();
const kept: Record<string, Map<string, Record<string, unknown>>> = { 'saved-searches': new Map(), dashboards: new Map() };

function fill(): void {
  const now = Date.now();
  const step = (HOURS * 3.6e6) / DOCUMENTS;
  for (let i = 0; i < DOCUMENTS; i++) documents.push(makeHit(now - HOURS * 3.6e6 + i * step + Math.random() * step));
  setInterval(() => {
    const fresh = Array.from({ length: A_SECOND / 4 }, () => makeHit(Date.now()));
    documents.push(...fresh);
    for (const listener of listeners) listener(fresh);
  }, 250).unref();
}

const times = new WeakMap<Hit, number>();

function time(hit: Hit): number {
  let at = times.get(hit);
  if (at === undefined) times.set(hit, (at = Date.parse(text(hit.source, '@timestamp'))));
  return at;
}

function select(p: URLSearchParams): { hits: Hit[]; from: number; to: number } {
  const now = Date.now();
  const from = resolveEnd(p.get('from') || 'now-15m', now);
  const to = resolveEnd(p.get('to') || 'now', now);
  const test = compile(p.get('q') ?? '');
  return { hits: documents.slice(firstFrom(from), firstFrom(to)).filter(test), from, to };
}

/** The place of the first document of this time or later; documents stand in the order of time, nearly. */
function firstFrom(at: number): number {
  let [low, high] = [0, documents.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (time(documents[middle] as Hit) < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

function top(hits: Hit[], field: string, size: number, prefix = '') {
  const name = ALIASES[field] ?? field;
  const counts = new Map<string, number>();
  let missing = 0;
  for (const hit of hits) {
    const value = text(hit.source, name);
    if (!value) missing++;
    else if (value.startsWith(prefix)) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const all = [...counts].sort((a, b) => b[1] - a[1]);
  return { field: name, total: hits.length, missing, other: all.slice(size).reduce((n, [, c]) => n + c, 0), values: all.slice(0, size).map(([value, count]) => ({ value, count })) };
}

const NICE = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400].map((s) => s * 1000);
const niceInterval = (span: number, buckets: number) => NICE.find((n) => span / n <= buckets) ?? 86_400_000;

function metric(hits: Hit[], spec: string): number | null {
  const [kind, name] = spec.split(':');
  if (kind === 'count' || !name) return hits.length;
  const raw = hits.map((hit) => text(hit.source, ALIASES[name] ?? name)).filter(Boolean);
  if (kind === 'unique') return new Set(raw).size;
  const values = raw.map(Number).sort((a, b) => a - b);
  if (!values.length) return null;
  const sum = values.reduce((a, b) => a + b, 0);
  if (kind === 'sum') return sum;
  if (kind === 'avg') return sum / values.length;
  const q = kind === 'min' ? 0 : kind === 'max' ? 1 : Number(kind?.slice(1)) / 100;
  return values[Math.min(Math.floor(q * values.length), values.length - 1)] ?? null;
}

function aggregate(p: URLSearchParams): unknown {
  const { hits, from, to } = select(p);
  const by = (p.get('by') ?? '').split(',').filter(Boolean);
  const metrics = (p.get('metrics') || 'count').split(',');
  const size = Number(p.get('size') ?? 10);
  const interval = p.get('interval') ? niceInterval(to - from, 60) : undefined;
  const groups = new Map<string, Hit[]>();
  for (const hit of hits) {
    const key = by.map((f) => text(hit.source, ALIASES[f] ?? f));
    if (by.length && key.some((k) => !k)) continue;
    const id = JSON.stringify(key);
    const list = groups.get(id);
    if (list) list.push(hit);
    else groups.set(id, [hit]);
  }
  const order = metrics.indexOf(p.get('order') ?? 'count');
  const rows = [...groups].map(([id, list]) => ({
    key: JSON.parse(id) as string[], count: list.length, values: metrics.map((m) => metric(list, m)),
    first: text(list[0]?.source ?? {}, '@timestamp'), last: text(list.at(-1)?.source ?? {}, '@timestamp'), sample: list.slice(-Number(p.get('sample') ?? 0) || list.length),
    ...(interval && { buckets: buckets(list, from, to, interval).map(([start, inside]) => ({ start, count: inside.length, values: metrics.map((m) => metric(inside, m)) })) }),
  })).sort((a, b) => (order >= 0 ? (b.values[order] ?? 0) - (a.values[order] ?? 0) : b.count - a.count));
  return { from: new Date(from), to: new Date(to), total: hits.length, interval_ms: interval, by, metrics, rows: rows.slice(0, size), other: rows.slice(size).reduce((n, r) => n + r.count, 0) };
}

function buckets(hits: Hit[], from: number, to: number, interval: number): [number, Hit[]][] {
  const first = Math.floor(from / interval) * interval;
  const out: [number, Hit[]][] = [];
  for (let start = first; start < to; start += interval) out.push([start, []]);
  for (const hit of hits) out[Math.floor((time(hit) - first) / interval)]?.[1].push(hit);
  return out;
}

function histogram(p: URLSearchParams): unknown {
  const { hits, from, to } = select(p);
  const interval = niceInterval(to - from, Number(p.get('buckets') ?? 60));
  const by = p.get('by') || 'level';
  const name = ALIASES[by] ?? by;
  const series = top(hits, by, 10).values;
  return {
    from: new Date(from), to: new Date(to), interval_ms: interval, total: hits.length,
    series: series.map(({ value, count }) => ({ key: value, count })),
    buckets: buckets(hits, from, to, interval).map(([start, inside]) => ({ start, count: inside.length, counts: series.map((s) => inside.filter((hit) => text(hit.source, name) === s.value).length) })),
  };
}

function patterns(p: URLSearchParams): unknown {
  const { hits } = select(p);
  const groups = new Map<string, Hit[]>();
  const sampled = hits.slice(-5000);
  for (const hit of sampled) {
    const key = text(hit.source, 'message').replace(/[0-9a-f]{8,}|\d+(\.\d+)*|A\d+/g, '<*>');
    groups.set(key, [...(groups.get(key) ?? []), hit]);
  }
  const all = [...groups].sort((a, b) => b[1].length - a[1].length).slice(0, Number(p.get('size') ?? 50));
  return {
    sampled: sampled.length, total: hits.length,
    patterns: all.map(([pattern, list]) => ({
      pattern, count: list.length, share: list.length / sampled.length,
      levels: Object.fromEntries(top(list, 'level', 5).values.map((v) => [v.value, v.count])), services: Object.fromEntries(top(list, 'service', 5).values.map((v) => [v.value, v.count])),
      first: text(list[0]?.source ?? {}, '@timestamp'), last: text(list.at(-1)?.source ?? {}, '@timestamp'), sample: list.at(-1),
      query: `"${pattern.split('<*>').reduce((a, b) => (b.length > a.length ? b : a)).trim().replace(/["\\]/g, '\\$&')}"`,
    })),
  };
}

function complete(p: URLSearchParams): unknown {
  const q = p.get('q') ?? '';
  const at = Number(p.get('at') ?? q.length);
  const value = /(\S+):([^\s:]*)$/.exec(q.slice(0, at));
  if (value) {
    const prefix = value[2] ?? '';
    p.set('q', '');
    return { start: at - prefix.length, end: at, suggestions: top(select(p).hits, value[1]?.replace(/^-/, '') ?? '', 12, prefix).values.map((v) => ({ text: String(v.value), kind: 'value', count: v.count })) };
  }
  const word = /[^\s(-]*$/.exec(q.slice(0, at))?.[0] ?? '';
  return { start: at - word.length, end: at, suggestions: Object.keys(ALIASES).filter((a) => a.startsWith(word)).map((a) => ({ text: a, kind: 'field', type: 'keyword' })) };
}

function answer(path: string, p: URLSearchParams): unknown {
  if (path === 'info') return { name: 'tailrace', version: 'dev', now: new Date().toISOString(), store: 'made-up shop', index: 'logs-*', features: ['tail', 'rules'], limits: {}, aliases: ALIASES };
  if (path === 'me') return { user: null, role: 'admin', namespaces: [], auth: 'none' };
  if (path === 'search') {
    const started = performance.now();
    const { hits, from, to } = select(p);
    if (p.get('sort') !== 'asc') hits.reverse();
    const at = Number(p.get('cursor') ?? 0);
    const size = Number(p.get('size') ?? 100);
    return { took_ms: Math.round(performance.now() - started), timed_out: false, total: { value: hits.length, relation: 'eq' }, hits: hits.slice(at, at + size), next_cursor: at + size < hits.length ? String(at + size) : null, from: new Date(from), to: new Date(to) };
  }
  if (path === 'count') return { count: select(p).hits.length };
  if (path === 'histogram') return histogram(p);
  if (path === 'aggregate') return aggregate(p);
  if (path === 'patterns') return patterns(p);
  if (path === 'complete') return complete(p);
  if (path === 'facets') {
    const { hits } = select(p);
    return { total: hits.length, facets: (p.get('fields') ?? '').split(',').map((f) => top(hits, f, Number(p.get('size') ?? 10))) };
  }
  if (path === 'fields') {
    const names = new Map<string, number>();
    for (const hit of select(p).hits.slice(-2000)) for (const [name] of flatten(hit.source)) names.set(name, (names.get(name) ?? 0) + 1);
    return { fields: [...names].sort().map(([name, count]) => ({ name, type: 'keyword', searchable: true, aggregatable: name !== 'message', count })) };
  }
  if (path === 'context') {
    const at = documents.findIndex((hit) => hit.id === p.get('id'));
    const hit = documents[at];
    if (!hit) return undefined;
    const same = documents.filter((d) => text(d.source, 'kubernetes.pod.name') === text(hit.source, 'kubernetes.pod.name'));
    const i = same.indexOf(hit);
    return { before: same.slice(Math.max(i - Number(p.get('before')), 0), i), hit, after: same.slice(i + 1, i + 1 + Number(p.get('after'))) };
  }
  if (path === 'query') return { from: p.get('from'), to: p.get('to'), index: 'logs-*', body: { query: { query_string: { query: p.get('q') } } }, terms: [] };
  if (path === 'streams') {
    const { hits } = select(p);
    return { total: 16, streams: top(hits, 'pod', 20).values.map((v, i) => ({ stream: `s${i}`, namespace: 'shop', pod: v.value, container: String(v.value).split('-')[0], node: 'node-1', file: null, service: null, lines: v.count, bytes: v.count * 180, first: null, last: new Date().toISOString(), lag_ms: 300 + i * 70 })) };
  }
  if (path === 'rules') return { rules: [{ name: 'nginx.access', documents: 52_113, tried: 120_000, matched: 52_113, failed: 3, cpu_seconds: 0.9 }, { name: 'redis', documents: 0, tried: 67_887, matched: 0, failed: 0, cpu_seconds: 0.1 }], unmatched: 1_204 };
  if (path === 'rules/unmatched') {
    const hits = select(p).hits.slice(-50).reverse();
    return { total: hits.length, hits };
  }
  if (path === 'rules/try') return { problems: [], results: [] };
  if (path === 'status') return { version: 'dev', uptime_seconds: 4211, resident_bytes: 71 << 20, reload_error: null, outputs: [{ name: 'main', entries: 3, bytes: 1 << 20, max_bytes: 1 << 30 }], counters: { store_docs_indexed_total: documents.length, aggregator_records_total: documents.length } };
  return undefined;
}

async function ingest(req: IncomingMessage, res: ServerResponse): Promise<void> {
  let body = '';
  for await (const piece of req) body += piece;
  const lines = JSON.parse(body) as { service: string; level: string; message: string; meta?: Record<string, unknown>; timestamp?: string }[];
  const fresh = lines.map((line, i): Hit => ({
    id: `${Date.now()}-${i}-${Math.random()}`, index: 'logs-dev', cursor: '',
    source: { '@timestamp': line.timestamp ?? new Date().toISOString(), message: line.message, 'log.level': line.level, 'service.name': line.service, ...line.meta },
  }));
  documents.push(...fresh);
  documents.sort((a, b) => time(a) - time(b));
  for (const listener of listeners) listener(fresh);
  json(res, 202, { accepted: fresh.length });
}

async function objects(kind: string, id: string | undefined, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const map = kept[kind];
  if (!map) return;
  let body = '';
  for await (const piece of req) body += piece;
  if (req.method === 'GET') return json(res, 200, id ? map.get(id) : { items: [...map.values()] });
  if (req.method === 'DELETE') {
    map.delete(id ?? '');
    res.writeHead(204).end();
    return;
  }
  const key = id ?? Math.random().toString(36).slice(2, 10);
  map.set(key, { ...JSON.parse(body), id: key, version: Number(map.get(key)?.version ?? 0) + 1, updated: new Date().toISOString() });
  json(res, id ? 200 : 201, map.get(key));
}

function json(res: ServerResponse, status: number, body: unknown): void {
  res.writeHead(status, { 'content-type': status < 400 ? 'application/json' : 'application/problem+json' }).end(JSON.stringify(body));
}

function tail(p: URLSearchParams, res: ServerResponse): void {
  res.writeHead(200, { 'content-type': 'text/event-stream' });
  const test = compile(p.get('q') ?? '');
  let sent = 0;
  const listener = (hits: Hit[]) => {
    const matched = hits.filter(test);
    sent += matched.length;
    if (matched.length) res.write(`event: lines\ndata: ${JSON.stringify({ hits: matched })}\n\n`);
  };
  listeners.add(listener);
  const timer = setInterval(() => {
    res.write(`event: stats\ndata: ${JSON.stringify({ seen: A_SECOND, matched: sent, sent, skipped: 0, sampled: false })}\n\n`);
    sent = 0;
  }, 1_000);
  res.on('close', () => {
    listeners.delete(listener);
    clearInterval(timer);
  });
}

export function devServer(): Plugin {
  return {
    name: 'tailrace-dev',
    configureServer(server) {
      fill();
      server.middlewares.use('/api/v1/', (req, res) => {
        const url = new URL(req.url ?? '/', 'http://localhost');
        const path = url.pathname.slice(1);
        const [kind, id] = path.split('/');
        try {
          if (path === 'logs') void ingest(req, res);
          else if (kind && kept[kind]) void objects(kind, id, req, res);
          else if (path === 'tail') tail(url.searchParams, res);
          else {
            const body = answer(path, url.searchParams);
            if (body === undefined) json(res, 404, { title: 'Not found', status: 404, detail: `the development server has no ${path}` });
            else json(res, 200, body);
          }
        } catch (error) {
          if (error instanceof QueryError) json(res, 400, { type: '/problems/query', title: 'Wrong query', status: 400, detail: error.message, parameter: 'q', position: error.position, length: error.length });
          else json(res, 500, { title: 'Error', status: 500, detail: String(error) });
        }
      });
    },
  };
}
