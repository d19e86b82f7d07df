// Times, durations and numbers as the page shows them.
//
// Log times keep their nanoseconds: they are sliced from the text, since a Date holds only
// milliseconds.

import { resolveRange, type Range, type Zone } from './range';

const pad = (n: number, width = 2) => String(n).padStart(width, '0');
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

interface Parts {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
  millis: number;
}

function parts(at: number, zone: Zone): Parts {
  const d = new Date(at);
  return zone === 'utc'
    ? { year: d.getUTCFullYear(), month: d.getUTCMonth(), day: d.getUTCDate(), hour: d.getUTCHours(), minute: d.getUTCMinutes(), second: d.getUTCSeconds(), millis: d.getUTCMilliseconds() }
    : { year: d.getFullYear(), month: d.getMonth(), day: d.getDate(), hour: d.getHours(), minute: d.getMinutes(), second: d.getSeconds(), millis: d.getMilliseconds() };
}

/** `14:03:22.123`, what a row shows. */
export function clock(at: number, zone: Zone): string {
  const p = parts(at, zone);
  return `${pad(p.hour)}:${pad(p.minute)}:${pad(p.second)}.${pad(p.millis, 3)}`;
}

/** `Nov 25 14:03:22.123`. */
export function dateClock(at: number, zone: Zone): string {
  const p = parts(at, zone);
  return `${MONTHS[p.month]} ${pad(p.day)} ${clock(at, zone)}`;
}

/** Date, time, every digit after the second that `iso` has, and the zone. */
export function fullTime(iso: string, zone: Zone): string {
  const at = Date.parse(iso);
  if (!Number.isFinite(at)) return iso;
  const p = parts(at, zone);
  const fraction = /\.(\d+)/.exec(iso)?.[1] ?? pad(p.millis, 3);
  return `${p.year}-${pad(p.month + 1)}-${pad(p.day)} ${pad(p.hour)}:${pad(p.minute)}:${pad(p.second)}.${fraction} ${zoneName(at, zone)}`;
}

/** `UTC`, or the local offset such as `UTC+02:00`. */
export function zoneName(at: number, zone: Zone): string {
  if (zone === 'utc') return 'UTC';
  const minutes = -new Date(at).getTimezoneOffset();
  if (minutes === 0) return 'UTC';
  const abs = Math.abs(minutes);
  return `UTC${minutes < 0 ? '-' : '+'}${pad(Math.floor(abs / 60))}:${pad(abs % 60)}`;
}

/** To the minute, for a label: `25 Nov 14:03`. The year only when it is not this one. */
export function shortDate(at: number, now: number, zone: Zone): string {
  const p = parts(at, zone);
  const year = p.year === parts(now, zone).year ? '' : ` ${p.year}`;
  const seconds = p.second || p.millis ? `:${pad(p.second)}` : '';
  const millis = p.millis ? `.${pad(p.millis, 3)}` : '';
  return `${p.day} ${MONTHS[p.month]}${year} ${pad(p.hour)}:${pad(p.minute)}${seconds}${millis}`;
}

const UNIT_WORDS: Record<string, string> = { s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week' };

/** `Last 15 minutes`, `25 Nov 14:00 – 15:00`. */
export function describeRange(range: Range, now: number, zone: Zone): string {
  const last = /^now-(\d+)([smhdw])$/.exec(range.from);
  if (last && range.to === 'now') {
    const n = Number(last[1]);
    const word = UNIT_WORDS[last[2] ?? ''] ?? '';
    return n === 1 ? `Last ${word}` : `Last ${n} ${word}s`;
  }
  const [from, to] = resolveRange(range, now);
  if (range.to === 'now') return `Since ${shortDate(from, now, zone)}`;
  const left = shortDate(from, now, zone);
  const right = shortDate(to, now, zone);
  const day = left.slice(0, left.lastIndexOf(' '));
  return right.startsWith(`${day} `) ? `${left} – ${right.slice(day.length + 1)}` : `${left} – ${right}`;
}

/** A span for people: `340 ms`, `2.4 s`, `5 min`, `3 h 20 min`, `2 d 4 h`. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return '–';
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${trim(ms / 1_000)} s`;
  const minutes = Math.round(ms / 60_000);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 24 * 60) return joined(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  const hours = Math.round(ms / 3_600_000);
  return joined(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

function joined(n: number, unit: string, rest: number, restUnit: string): string {
  return rest ? `${n} ${unit} ${rest} ${restUnit}` : `${n} ${unit}`;
}

/** `3 min ago`; the future (a skewed clock) is said as such. */
export function ago(at: number, now: number): string {
  const ms = now - at;
  if (Math.abs(ms) < 1_500) return 'just now';
  const whole = Math.round(Math.abs(ms) / 1_000) * 1_000;
  return ms < 0 ? `in ${duration(whole)}` : `${duration(whole)} ago`;
}

const grouped = new Intl.NumberFormat('en-US');

/** `12,345`. */
export function count(n: number): string {
  return grouped.format(n);
}

/** `1.2M`, for axes, chips and cards; exact below 10,000. */
export function compact(n: number): string {
  const abs = Math.abs(n);
  if (abs < 10_000) return Number.isInteger(n) ? count(n) : trim(n);
  for (const [size, suffix] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']] as const) {
    if (abs >= size) return `${trim(n / size)}${suffix}`;
  }
  return count(n);
}

/** Bytes with binary units. */
export function bytes(n: number): string {
  let value = n;
  for (const unit of ['B', 'KiB', 'MiB', 'GiB', 'TiB']) {
    if (Math.abs(value) < 1_024 || unit === 'TiB') return `${trim(value)} ${unit}`;
    value /= 1_024;
  }
  return `${n} B`;
}

/** `4.2 %`; tiny shares are not rounded to nothing. */
export function percent(share: number): string {
  if (!Number.isFinite(share)) return '–';
  if (share > 0 && share < 0.001) return '< 0.1 %';
  return `${trim(share * 100)} %`;
}

/** At most three digits that matter. */
function trim(n: number): string {
  const abs = Math.abs(n);
  const digits = abs >= 100 ? 0 : abs >= 10 ? 1 : 2;
  return String(Number(n.toFixed(digits)));
}
