// The query language as far as the search box needs it: colours, and filters added by a click. The
// server parses, judges and completes; nothing here decides whether a query is right.

export type TokenKind = 'field' | 'operator' | 'value' | 'text' | 'quoted' | 'keyword' | 'not' | 'paren' | 'space';

/** A piece of the query; pieces follow each other without gaps. */
export interface Token {
  kind: TokenKind;
  start: number;
  end: number;
}

const FIELD = /[\w@.*-]+(?=:|>=|<=|>|<|=)/y;
const OPERATOR = /:(?:>=|<=|>|<)?|>=|<=|>|<|=/y;
const QUOTED = /"(?:[^"\\]|\\.)*(?:"|$)/ys;
const RANGE = /[[{][^\]}]*(?:[\]}]|$)/y;
const SPACE = /\s+/y;
const WORD = /(?:[^\s()"\\]|\\.)+/y;

function match(regex: RegExp, text: string, at: number): number {
  regex.lastIndex = at;
  return regex.exec(text)?.[0].length ?? 0;
}

/** Cuts the query into pieces. */
export function tokens(text: string): Token[] {
  const out: Token[] = [];
  let at = 0;
  let afterOperator = false;
  const push = (kind: TokenKind, length: number) => {
    out.push({ kind, start: at, end: at + length });
    at += length;
    afterOperator = kind === 'operator';
  };
  while (at < text.length) {
    const c = text[at] ?? '';
    const space = match(SPACE, text, at);
    if (space) push('space', space);
    else if (c === '(' || c === ')') push('paren', 1);
    else if (afterOperator) push(c === '"' ? 'quoted' : 'value', match(c === '"' ? QUOTED : c === '[' || c === '{' ? RANGE : WORD, text, at) || 1);
    else if (c === '"') push('quoted', match(QUOTED, text, at) || 1);
    else if ((c === '-' || c === '!') && /\S/.test(text[at + 1] ?? '')) push('not', 1);
    else if (match(FIELD, text, at) && !text.startsWith('://', at + match(FIELD, text, at))) {
      push('field', match(FIELD, text, at));
      push('operator', match(OPERATOR, text, at) || 1);
    } else {
      const length = match(WORD, text, at) || 1;
      push(/^(AND|OR|NOT)$/.test(text.slice(at, at + length)) ? 'keyword' : 'text', length);
    }
  }
  return out;
}

/** The value as the query language wants it: bare when it can be, else quoted. */
export function quote(value: string): string {
  if (/^[\p{L}\p{N}_./@-][\p{L}\p{N}_./@:-]*$/u.test(value) && !/^(AND|OR|NOT)$/.test(value) && !value.startsWith('-')) return value;
  return `"${value.replace(/[\\"]/g, '\\$&')}"`;
}

/** `field:value` with a sign. */
export function clause(field: string, value: string, negate: boolean): string {
  return `${negate ? '-' : ''}${field}:${quote(value)}`;
}

/** Clauses of the query at its top level, with the sign before them. */
function clauses(text: string): { start: number; end: number; text: string }[] {
  const out: { start: number; end: number; text: string }[] = [];
  let depth = 0;
  let start = -1;
  for (const token of tokens(text)) {
    if (token.kind === 'paren') depth += text[token.start] === '(' ? 1 : -1;
    if (token.kind === 'space' && depth <= 0) {
      if (start >= 0) out.push({ start, end: token.start, text: text.slice(start, token.start) });
      start = -1;
    } else if (start < 0) start = token.start;
  }
  if (start >= 0) out.push({ start, end: text.length, text: text.slice(start) });
  return out;
}

function hasTopLevelOr(text: string): boolean {
  return clauses(text).some((c) => c.text === 'OR');
}

/** Whether the query holds this clause at its top level. */
export function hasClause(text: string, wanted: string): boolean {
  return clauses(text).some((c) => c.text === wanted);
}

/** The query without this clause. */
export function removeClause(text: string, unwanted: string): string {
  const kept = clauses(text).filter((c) => c.text !== unwanted).map((c) => c.text);
  while (kept[0] === 'AND' || kept[0] === 'OR') kept.shift();
  while (/^(AND|OR|NOT)$/.test(kept.at(-1) ?? '')) kept.pop();
  return kept.join(' ');
}

/**
 * The query with the clause added, or taken out when it was there already. The opposite clause
 * goes, since the two together match nothing.
 */
export function toggleFilter(text: string, field: string, value: string, negate: boolean): string {
  const wanted = clause(field, value, negate);
  const trimmed = text.trim();
  if (hasClause(trimmed, wanted)) return removeClause(trimmed, wanted);
  const rest = removeClause(trimmed, clause(field, value, !negate));
  return addClause(rest, wanted);
}

/** The query narrowed by a clause, whatever it is made of. */
export function addClause(text: string, added: string): string {
  const trimmed = text.trim();
  if (!trimmed || trimmed === '*') return added;
  return hasTopLevelOr(trimmed) ? `(${trimmed}) ${added}` : `${trimmed} ${added}`;
}

/** The values of a field that the query asks for or leaves out, by clauses at its top level. */
export function filteredValues(text: string, field: string): string[] {
  return clauses(text).flatMap(({ text: one }) => {
    const written = one.replace(/^-/, '').slice(field.length + 1);
    const value = /^".*"$/s.test(written) ? written.slice(1, -1).replace(/\\(.)/gs, '$1') : written;
    return one === clause(field, value, false) || one === clause(field, value, true) ? [value] : [];
  });
}

/** Words and phrases that the user looks for in messages, to mark them in the list. */
export function searchedWords(text: string): string[] {
  const all = tokens(text);
  const out: string[] = [];
  all.forEach((token, i) => {
    const before = all[i - 1];
    const field = all[i - 2];
    const negated = (j: number) => all[j]?.kind === 'not' || text.slice(all[j - 1]?.start, all[j - 1]?.end) === 'NOT';
    let raw = text.slice(token.start, token.end);
    if (token.kind === 'text' && !negated(i - 1)) out.push(raw.replace(/[*?~]+\d*$/g, ''));
    if (token.kind !== 'quoted' && token.kind !== 'value') return;
    if (token.kind === 'quoted') raw = raw.slice(1, raw.endsWith('"') && raw.length > 1 ? -1 : undefined).replace(/\\(.)/g, '$1');
    const free = token.kind === 'quoted' && before?.kind !== 'operator';
    const onMessage = before?.kind === 'operator' && field && text.slice(field.start, field.end) === 'message';
    if (free && !negated(i - 1)) out.push(raw);
    else if (onMessage && !negated(i - 3)) out.push(raw.replace(/\*+$/g, ''));
  });
  return out.filter((word) => word.length > 1);
}
