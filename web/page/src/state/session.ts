// What holds for the whole visit: the server, the user, its clock, and preferences of this browser.

import { computed, effect, signal } from '@preact/signals';
import { get, Problem } from '../api/client';
import type { Info, Me } from '../api/types';

export const info = signal<Info | undefined>(undefined);
export const me = signal<Me | undefined>(undefined);
/** Set while the server cannot be reached. */
export const offline = signal<Problem | undefined>(undefined);

/** Server's clock minus this machine's: a laptop that is minutes off must not hide the newest lines. */
let skew = 0;

/** Milliseconds since 1970 by the server's clock. */
export function serverNow(): number {
  return Date.now() + skew;
}

export const canEdit = computed(() => me.value !== undefined && me.value.role !== 'viewer');

/** Asks who serves and who asks. */
export async function startSession(): Promise<void> {
  try {
    const asked = Date.now();
    const [infoAnswer, meAnswer] = await Promise.all([get<Info>('info', {}), get<Me>('me', {})]);
    const answered = Date.now();
    const theirs = Date.parse(infoAnswer.now);
    const difference = theirs - (asked + answered) / 2;
    // Within the time of the request itself nothing is known.
    if (Number.isFinite(difference) && Math.abs(difference) > Math.max(1_000, answered - asked)) skew = difference;
    info.value = infoAnswer;
    me.value = meAnswer;
    offline.value = undefined;
  } catch (error) {
    if (error instanceof Problem) offline.value = error;
    else throw error;
  }
}

/** A preference of this browser. Storage may be refused (private windows): then it lasts for the visit. */
function preference(name: string, initial: string) {
  const key = `tailrace.${name}`;
  let stored: string | null = null;
  try {
    stored = localStorage.getItem(key);
  } catch {
    // Nothing is kept.
  }
  const value = signal(stored ?? initial);
  effect(() => {
    try {
      if (value.value === initial) localStorage.removeItem(key);
      else localStorage.setItem(key, value.value);
    } catch {
      // As above.
    }
  });
  return value;
}

export const theme = preference('theme', 'system');
export const wrapLines = preference('wrap', 'off');
export const shortcuts = preference('shortcuts', 'on');
// On a phone the filters would cover the lines.
export const facetsShown = preference('facets', globalThis.innerWidth < 760 ? 'off' : 'on');
export const chartShown = preference('chart', 'on');
/** Names of facets that are folded away, commas between. */
export const foldedFacets = preference('folded', '');
/** Queries run lately, the newest first, as JSON. */
export const recentQueries = preference('recent', '[]');

const KEPT_QUERIES = 20;

/** Remembers a query for the search box's list. */
export function rememberQuery(q: string): void {
  if (!q.trim()) return;
  recentQueries.value = JSON.stringify([q, ...readRecent().filter((other) => other !== q)].slice(0, KEPT_QUERIES));
}

export function readRecent(): string[] {
  try {
    const list: unknown = JSON.parse(recentQueries.value);
    return Array.isArray(list) ? list.filter((q): q is string => typeof q === 'string') : [];
  } catch {
    return [];
  }
}
