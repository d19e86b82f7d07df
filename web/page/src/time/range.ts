// Time ranges as people type them ("2h", "yesterday 14:00-15:00") and as the URL keeps them.
//
// Each end is either relative to now ("now", "now-15m"), so that a shared link keeps meaning "the
// last quarter of an hour", or an RFC 3339 instant in UTC. Nothing here touches the clock: `now`
// is passed in.

/** The zone in which times without one are read and shown. */
export type Zone = 'utc' | 'local';

/** A half-open range; each end is `now`, `now-<n><unit>` or an RFC 3339 instant. */
export interface Range {
  from: string;
  to: string;
}

export type ParsedRange = { range: Range } | { error: string };

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const UNIT: Record<string, number> = { ms: 1, s: SECOND, m: MINUTE, h: HOUR, d: DAY, w: 7 * DAY };
const UNIT_NAMES: Record<string, string> = {
  ms: 'ms', millisecond: 'ms', milliseconds: 'ms',
  s: 's', sec: 's', secs: 's', second: 's', seconds: 's',
  m: 'm', min: 'm', mins: 'm', minute: 'm', minutes: 'm',
  h: 'h', hr: 'h', hrs: 'h', hour: 'h', hours: 'h',
  d: 'd', day: 'd', days: 'd',
  w: 'w', week: 'w', weeks: 'w',
};
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

export const DEFAULT_RANGE: Range = { from: 'now-15m', to: 'now' };

/** What the picker offers at a click; anything else can be typed. */
export const PRESETS = ['5m', '15m', '1h', '4h', '24h', '2d', '7d', '30d'];

export const HINT = 'Try 2h, 14:00-15:00, yesterday, yesterday 14:00-15:00, or 2026-11-25 14:00 to now';

/** The end as milliseconds since 1970, or NaN when it is neither relative nor a date. */
export function resolveEnd(end: string, now: number): number {
  const relative = /^now(?:([+-])(\d+)(ms|[smhdw]))?$/.exec(end);
  if (!relative) return Date.parse(end);
  if (!relative[1]) return now;
  const span = Number(relative[2]) * (UNIT[relative[3] ?? ''] ?? NaN);
  return relative[1] === '-' ? now - span : now + span;
}

/** Both ends in milliseconds. An invalid range falls back to the default one. */
export function resolveRange(range: Range, now: number): [number, number] {
  const from = resolveEnd(range.from, now);
  const to = resolveEnd(range.to, now);
  if (Number.isFinite(from) && Number.isFinite(to) && from < to) return [from, to];
  return [now - 15 * MINUTE, now];
}

/** Whether the range moves on as time passes. */
export function followsNow(range: Range): boolean {
  return range.to.startsWith('now');
}

export function absolute(from: number, to: number): Range {
  return { from: new Date(Math.floor(from)).toISOString(), to: new Date(Math.ceil(to)).toISOString() };
}

/** The range with its span multiplied by `factor`, around its middle; never beyond now. */
export function zoom(range: Range, factor: number, now: number): Range {
  const [from, to] = resolveRange(range, now);
  const span = Math.max((to - from) * factor, 10);
  // A range that follows now goes on doing so: widening it must not stop its refresh.
  if (range.to === 'now') return { from: relativeTo(span), to: 'now' };
  const middle = (from + to) / 2;
  const end = Math.min(middle + span / 2, Math.max(now, to));
  return absolute(end - span, end);
}

/** The range moved by a share of its span; negative is back in time. */
export function pan(range: Range, share: number, now: number): Range {
  const [from, to] = resolveRange(range, now);
  const span = to - from;
  const end = Math.min(to + span * share, Math.max(now, to));
  return absolute(end - span, end);
}

/** The period of the same length that ends where this one begins. */
export function before(range: Range, now: number): Range {
  const [from, to] = resolveRange(range, now);
  return absolute(from - (to - from), from);
}

function relativeTo(span: number): string {
  for (const unit of ['w', 'd', 'h', 'm', 's'] as const) {
    const size = UNIT[unit] ?? NaN;
    if (span >= size && span % size === 0) return `now-${span / size}${unit}`;
  }
  const seconds = Math.ceil(span / SECOND);
  return `now-${seconds}s`;
}

/** Reads what a person typed. */
export function parseRange(text: string, now: number, zone: Zone): ParsedRange {
  const typed = text.trim().toLowerCase().replace(/[–—]/g, '-').replace(/\s+/g, ' ');
  if (!typed) return { error: HINT };
  const span = parseSpan(typed.replace(/^(last|past) /, '').replace(/ ago$/, '').replace(/^now ?- ?/, ''));
  if (span) return { range: { from: `now-${span}`, to: 'now' } };
  for (const [left, right] of splits(typed)) {
    const range = fromEnds(left, right, now, zone);
    if (range) return order(range, now);
  }
  const only = parseEnd(typed, now, zone, undefined);
  if (!only) return { error: `cannot read “${text.trim()}” as a time. ${HINT}` };
  // A whole day, week or month is that period; an instant is "since then".
  if (only.end === undefined) return order({ from: only.text, to: 'now' }, now);
  const end = only.end > now ? 'now' : new Date(only.end).toISOString();
  return order({ from: only.text, to: end }, now);
}

function order(range: Range, now: number): ParsedRange {
  const from = resolveEnd(range.from, now);
  const to = resolveEnd(range.to, now);
  if (from < to) return { range };
  if (from === to) return { error: 'the range is empty: both ends are the same' };
  return { error: 'the range ends before it begins' };
}

/** `2h`, `1h30m`, `15 min` as a span the URL understands. */
function parseSpan(text: string): string | undefined {
  const parts = [...text.matchAll(/(\d+) ?([a-z]+) ?/gy)];
  if (!parts.length || parts.map((p) => p[0]).join('') !== text) return undefined;
  let total = 0;
  for (const part of parts) {
    const unit = UNIT_NAMES[part[2] ?? ''];
    if (!unit) return undefined;
    total += Number(part[1]) * (UNIT[unit] ?? NaN);
  }
  if (parts.length === 1) return `${Number(parts[0]?.[1])}${UNIT_NAMES[parts[0]?.[2] ?? '']}`;
  return relativeTo(total).slice('now-'.length);
}

/** Every place where the text may be two ends; the clearest separators first. */
function* splits(text: string): Generator<[string, string]> {
  for (const separator of [' to ', ' until ', '..', ' - ', '/']) {
    const at = text.indexOf(separator);
    if (at > 0) yield [text.slice(0, at).trim(), text.slice(at + separator.length).trim()];
  }
  // "14:00-15:00" and "2h-1h": a dash within a date is tried as well and fails to be two ends.
  for (let at = text.indexOf('-'); at > 0; at = text.indexOf('-', at + 1)) {
    yield [text.slice(0, at).trim(), text.slice(at + 1).trim()];
  }
}

function fromEnds(left: string, right: string, now: number, zone: Zone): Range | undefined {
  const first = parseEnd(left, now, zone, undefined);
  if (!first) return undefined;
  const second = parseEnd(right, now, zone, first.day);
  if (!second) return undefined;
  const to = second.end === undefined ? second.text : new Date(Math.min(second.end, Math.max(now, second.start))).toISOString();
  // "23:00-01:00" goes over midnight.
  if (second.inherited && resolveEnd(to, now) <= first.start) {
    return { from: first.text, to: new Date(resolveEnd(to, now) + DAY).toISOString() };
  }
  return { from: first.text, to };
}

interface End {
  /** As the URL keeps it. */
  text: string;
  start: number;
  /** Set when the text names a period rather than an instant: the end of that period. */
  end?: number;
  /** Midnight of the day it lies in, for a second end that gives only the time. */
  day?: number;
  /** Its day was taken from the first end. */
  inherited?: boolean;
}

function parseEnd(text: string, now: number, zone: Zone, day: number | undefined): End | undefined {
  if (!text) return undefined;
  if (text === 'now') return { text: 'now', start: now };
  const span = parseSpan(text.replace(/ ago$/, '').replace(/^now ?- ?/, ''));
  if (span) {
    const end = `now-${span}`;
    return { text: end, start: resolveEnd(end, now) };
  }
  const instant = parseInstant(text);
  if (instant !== undefined) return { text: new Date(instant).toISOString(), start: instant };
  return parseCalendar(text, now, zone, day);
}

/** RFC 3339 with a zone, or seconds or milliseconds since 1970. */
function parseInstant(text: string): number | undefined {
  if (/^\d{4}-\d{2}-\d{2}[t ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)? ?(z|utc|[+-]\d{2}:?\d{2})$/.test(text)) {
    const at = Date.parse(text.replace(' utc', 'z').replace('utc', 'z').replace(',', '.').replace(' ', 't').replace(/ /g, '').toUpperCase());
    return Number.isFinite(at) ? at : undefined;
  }
  if (/^\d{10}$/.test(text)) return Number(text) * SECOND;
  if (/^\d{13}$/.test(text)) return Number(text);
  return undefined;
}

function parseCalendar(text: string, now: number, zone: Zone, inherited: number | undefined): End | undefined {
  const clock = /^(?:(.*?)[ t])?(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?$/.exec(text);
  const dayText = clock ? clock[1] ?? '' : text;
  const period = dayText ? parseDay(dayText.trim(), now, zone) : undefined;
  if (dayText && !period) return undefined;
  if (!clock) {
    return period && { text: new Date(period[0]).toISOString(), start: period[0], end: period[1], day: period[0] };
  }
  const [hours, minutes, seconds] = [Number(clock[2]), Number(clock[3]), Number(clock[4] ?? 0)];
  if (hours > 24 || minutes > 59 || seconds > 59) return undefined;
  const midnight = period?.[0] ?? inherited ?? startOfDay(now, zone);
  const at = new Date(midnight);
  const millis = Number((clock[5] ?? '').padEnd(3, '0').slice(0, 3));
  if (zone === 'utc') at.setUTCHours(hours, minutes, seconds, millis);
  else at.setHours(hours, minutes, seconds, millis);
  let start = at.getTime();
  // A bare "23:50" at one in the morning means the one that has been.
  if (!period && inherited === undefined && start > now) start -= DAY;
  return {
    text: new Date(start).toISOString(), start, day: startOfDay(start, zone),
    inherited: !period && inherited !== undefined,
  };
}

/** The day, week or month that the text names, as its two ends. */
function parseDay(text: string, now: number, zone: Zone): [number, number] | undefined {
  const today = startOfDay(now, zone);
  const day = (at: number): [number, number] => [at, shiftDays(at, 1, zone)];
  if (text === 'today') return day(today);
  if (text === 'yesterday') return day(shiftDays(today, -1, zone));
  if (text === 'this hour') return [now - (now % HOUR), now - (now % HOUR) + HOUR];
  const week = shiftDays(today, -((weekday(today, zone) + 6) % 7), zone);
  if (text === 'this week') return [week, shiftDays(week, 7, zone)];
  if (text === 'last week') return [shiftDays(week, -7, zone), week];
  const [year, month] = yearMonth(now, zone);
  if (text === 'this month') return [midnight(year, month, 1, zone), midnight(year, month + 1, 1, zone)];
  if (text === 'last month') return [midnight(year, month - 1, 1, zone), midnight(year, month, 1, zone)];
  const named = WEEKDAYS.indexOf(text.replace(/^(last|on) /, '').slice(0, 3));
  if (named >= 0 && /^(last |on )?(sun|mon|tues?|wed(nes)?|thu(rs)?|fri|sat(ur)?)(day)?$/.test(text)) {
    const back = (weekday(today, zone) - named + 7) % 7 || (text.startsWith('last ') ? 7 : 0);
    return day(shiftDays(today, -back, zone));
  }
  const iso = /^(\d{4})-(\d{1,2})(?:-(\d{1,2}))?$/.exec(text);
  if (iso) {
    const [y, m] = [Number(iso[1]), Number(iso[2]) - 1];
    if (m > 11) return undefined;
    if (!iso[3]) return [midnight(y, m, 1, zone), midnight(y, m + 1, 1, zone)];
    return checkedDay(y, m, Number(iso[3]), zone);
  }
  const words = /^(\d{1,2})\.? ([a-z]{3})[a-z]*(?: (\d{4}))?$/.exec(text) ?? swap(/^([a-z]{3})[a-z]* (\d{1,2})(?:,? (\d{4}))?$/.exec(text));
  if (!words) return undefined;
  const m = MONTHS.indexOf(words[2] ?? '');
  if (m < 0) return undefined;
  const at = checkedDay(words[3] ? Number(words[3]) : year, m, Number(words[1]), zone);
  // "30 Dec" typed in January is last year's.
  if (at && !words[3] && at[0] > now) return checkedDay(year - 1, m, Number(words[1]), zone);
  return at;
}

function swap(match: RegExpExecArray | null): (string | undefined)[] | undefined {
  return match ? [match[0], match[2], match[1], match[3]] : undefined;
}

function checkedDay(y: number, m: number, d: number, zone: Zone): [number, number] | undefined {
  const start = midnight(y, m, d, zone);
  // 31 February would silently become 3 March.
  if (d < 1 || yearMonth(start, zone)[1] !== m) return undefined;
  return [start, midnight(y, m, d + 1, zone)];
}

function midnight(y: number, m: number, d: number, zone: Zone): number {
  return zone === 'utc' ? Date.UTC(y, m, d) : new Date(y, m, d).getTime();
}

function yearMonth(at: number, zone: Zone): [number, number] {
  const date = new Date(at);
  return zone === 'utc' ? [date.getUTCFullYear(), date.getUTCMonth()] : [date.getFullYear(), date.getMonth()];
}

function weekday(at: number, zone: Zone): number {
  const date = new Date(at);
  return zone === 'utc' ? date.getUTCDay() : date.getDay();
}

function startOfDay(at: number, zone: Zone): number {
  const date = new Date(at);
  if (zone === 'utc') date.setUTCHours(0, 0, 0, 0);
  else date.setHours(0, 0, 0, 0);
  return date.getTime();
}

/** Whole days by the calendar: the day of a change of the clock has 23 or 25 hours. */
function shiftDays(at: number, days: number, zone: Zone): number {
  const date = new Date(at);
  if (zone === 'utc') date.setUTCDate(date.getUTCDate() + days);
  else date.setDate(date.getDate() + days);
  return date.getTime();
}
