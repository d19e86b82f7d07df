// Documents as the page reads them: nested objects, names with dots, or both mixed.

export type Source = Record<string, unknown>;

/** A field's value; arrays stay arrays. */
export function field(source: Source, path: string): unknown {
  if (path in source) return source[path];
  // The longest name that is there as it stands wins: `kubernetes.labels` may hold `app.kubernetes.io/name`.
  for (let dot = path.lastIndexOf('.'); dot > 0; dot = path.lastIndexOf('.', dot - 1)) {
    const inner = source[path.slice(0, dot)];
    if (inner !== null && typeof inner === 'object' && !Array.isArray(inner)) {
      const value = field(inner as Source, path.slice(dot + 1));
      if (value !== undefined) return value;
    }
  }
  return undefined;
}

/** A field's value as text; empty when it is not there. */
export function text(source: Source, path: string): string {
  return display(field(source, path));
}

/** A value as one line of text. */
export function display(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value) && value.every((v) => v === null || typeof v !== 'object')) return value.map(display).join(', ');
  return JSON.stringify(value);
}

/** What people look for first, in this order; all others follow by name. */
const FIRST = [
  '@timestamp', 'log.level', 'service.name', 'message', 'error.type', 'error.message', 'error.stack_trace', 'error.fingerprint',
  'trace.id', 'span.id', 'http.request.method', 'url.path', 'http.response.status_code',
];

/** Every leaf with its full name. Objects without content are leaves. */
export function flatten(source: Source): [string, unknown][] {
  const out: [string, unknown][] = [];
  const walk = (object: Source, prefix: string) => {
    for (const [key, value] of Object.entries(object)) {
      const path = prefix + key;
      const isObject = value !== null && typeof value === 'object' && !Array.isArray(value);
      if (isObject && Object.keys(value).length > 0) walk(value as Source, `${path}.`);
      else out.push([path, value]);
    }
  };
  walk(source, '');
  const rank = (path: string) => {
    const at = FIRST.indexOf(path);
    // Book-keeping of the pipeline is what nobody looks for at night.
    return at >= 0 ? at : path.startsWith('tailrace.') || path.startsWith('data_stream.') || path.startsWith('event.ingested') ? 1_000 : 100;
  };
  return out.sort((a, b) => rank(a[0]) - rank(b[0]) || a[0].localeCompare(b[0]));
}

/** Fields that lead to the other lines of one request, the most telling first. */
const LINKS: [string, string][] = [
  ['trace.id', 'trace'], ['transaction.id', 'transaction'], ['http.request.id', 'request'],
  ['attributes.request_id', 'request'], ['attributes.requestId', 'request'], ['attributes.req_id', 'request'], ['attributes.reqId', 'request'],
  ['attributes.correlation_id', 'correlation'], ['attributes.correlationId', 'correlation'], ['attributes.session_id', 'session'],
  ['error.fingerprint', 'kind of error'],
];

/** Ids of this document that other documents are likely to share. */
export function links(source: Source): { field: string; label: string; value: string }[] {
  return LINKS.flatMap(([path, label]) => {
    const value = text(source, path);
    return value ? [{ field: path, label, value }] : [];
  });
}

export type Level = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'none';

/** The levels from the worst to the least, as charts stack and lists colour them. */
export const LEVELS: Level[] = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'none'];

/** The colour group of a level, however a program spells it. */
export function levelOf(value: string | null | undefined): Level {
  const level = (value ?? '').toLowerCase();
  if (/^(fatal|crit|alert|emerg|panic)/.test(level)) return 'fatal';
  if (/^(err|severe|e$)/.test(level)) return 'error';
  if (/^(warn|w$)/.test(level)) return 'warn';
  if (/^(info|notice|i$)/.test(level)) return 'info';
  if (/^(debug|fine|d$)/.test(level)) return 'debug';
  if (/^(trace|verbose|t$|silly)/.test(level)) return 'trace';
  return 'none';
}

/** Parts of a text by their role in JSON, to colour it. */
export interface JsonPart {
  kind: 'key' | 'string' | 'number' | 'literal' | 'plain';
  text: string;
}

/** The value, indented, cut into coloured parts. */
export function jsonParts(value: unknown): JsonPart[] {
  const out: JsonPart[] = [];
  const json = JSON.stringify(value, null, 2) ?? 'null';
  const piece = /"(?:[^"\\]|\\.)*"(\s*:)?|-?\d[\d.eE+-]*|true|false|null/g;
  let at = 0;
  for (const match of json.matchAll(piece)) {
    if (match.index > at) out.push({ kind: 'plain', text: json.slice(at, match.index) });
    const kind = match[1] ? 'key' : match[0].startsWith('"') ? 'string' : /^[tfn]/.test(match[0]) ? 'literal' : 'number';
    out.push({ kind, text: match[0] });
    at = match.index + match[0].length;
  }
  if (at < json.length) out.push({ kind: 'plain', text: json.slice(at) });
  return out;
}

/** The object or array that a message holds, if it is one. */
export function parseJson(message: string): unknown {
  const trimmed = message.trim();
  if (!/^[[{]/.test(trimmed)) return undefined;
  try {
    return JSON.parse(trimmed);
  } catch {
    return undefined;
  }
}
