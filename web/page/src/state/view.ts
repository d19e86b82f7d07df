// What Explore, Live and dashboards have in common: query, time range, zone and refresh, all of
// them read from the address.

import { computed, signal } from '@preact/signals';
import { DEFAULT_RANGE, parseRange, resolveEnd, resolveRange, type Range, type Zone } from '../time/range';
import { location, param, setParams } from './location';
import { serverNow } from './session';

export const query = computed(() => param('q'));
export const zone = computed<Zone>(() => (param('tz') === 'utc' ? 'utc' : 'local'));

export const range = computed<Range>(() => {
  const from = param('from');
  const to = param('to');
  const now = serverNow();
  if (!from && !to) return DEFAULT_RANGE;
  const wanted = { from: from || DEFAULT_RANGE.from, to: to || 'now' };
  if (Number.isFinite(resolveEnd(wanted.from, now)) && Number.isFinite(resolveEnd(wanted.to, now))) return wanted;
  // An address written by hand may say `from=yesterday`.
  const parsed = parseRange(to ? `${from} to ${to}` : from, now, zone.peek());
  return 'range' in parsed ? parsed.range : DEFAULT_RANGE;
});

/** Seconds between automatic refreshes; 0 is none. */
export const refresh = computed(() => {
  const seconds = Number.parseInt(param('refresh'), 10);
  return Number.isFinite(seconds) && seconds > 0 ? Math.max(seconds, 2) : 0;
});

/** Rises with each automatic refresh. */
export const ticks = signal(0);
/** Rises when the user asks for everything anew. */
export const reloads = signal(0);

/** A range with its ends fixed, so that list, chart and facets speak of the same lines. */
export interface Window {
  q: string;
  from: number;
  to: number;
}

/** The window of the latest run: anew when the query, the range, a tick or a reload asks for it. */
export const current = computed<Window>(() => {
  ticks.value;
  reloads.value;
  const [from, to] = resolveRange(range.value, serverNow());
  return { q: query.value, from, to };
});

/** The parameters of a request over a window. */
export function over(window: Window): { q: string; from: string; to: string } {
  return { q: window.q, from: new Date(window.from).toISOString(), to: new Date(window.to).toISOString() };
}

export function setRange(next: Range): void {
  const isDefault = next.from === DEFAULT_RANGE.from && next.to === DEFAULT_RANGE.to;
  setParams({ from: isDefault ? undefined : next.from, to: next.to === 'now' ? undefined : next.to, open: undefined });
}

export function setQuery(q: string): void {
  if (q.trim() === query.peek()) reloads.value++;
  else setParams({ q: q.trim(), open: undefined });
}

/** The parameters that other views should keep when one goes there. */
export function carried(names: string[]): URLSearchParams {
  const out = new URLSearchParams();
  for (const name of names) {
    const value = location.value.params.get(name);
    if (value) out.set(name, value);
  }
  return out;
}
