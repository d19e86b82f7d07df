// What Explore shows and how it is fetched. The list is kept apart from chart and facets: those are
// drawn anew at each refresh, while lines that came since wait in `pending` until the user asks for
// them, so that nothing moves under the eye.

import { computed, effect, signal, untracked } from '@preact/signals';
import { get, isAbort, Problem } from '../api/client';
import type { Facets, Histogram, Hit, Patterns, SearchResult } from '../api/types';
import { param } from '../state/location';
import { resource } from '../state/resource';
import { rememberQuery } from '../state/session';
import { current, over, query, range, refresh, reloads, ticks, type Window } from '../state/view';

const PAGE = 200;
/** More lines than this are not kept in the page: the range should be narrowed, or exported. */
const MOST_LINES = 50_000;
const FACETS = 'log.level,service.name,kubernetes.namespace,kubernetes.pod.name,kubernetes.container.name,kubernetes.node.name';

export const view = computed(() => (param('view') === 'patterns' ? 'patterns' : 'lines'));
export const isAscending = computed(() => param('sort') === 'asc');
export const isComparing = computed(() => param('compare') === '1');
export const columns = computed(() => (param('cols') ? param('cols').split(',').filter(Boolean) : ['service.name', 'message']));
/** Facets that the user added. */
export const extraFacets = computed(() => param('facets').split(',').filter(Boolean));

export const hits = signal<Hit[]>([]);
/** Lines that came since the list was made, the newest first. */
export const pending = signal<Hit[]>([]);
/** Whether more came than `pending` holds. */
export const isPendingCut = signal(false);
export const isLoadingMore = signal(false);
export const selected = signal(-1);
export const opened = signal<ReadonlySet<string>>(new Set());
let nextCursor: string | null = null;
let more: AbortController | undefined;

export const search = resource<SearchResult>();
export const histogram = resource<Histogram>();
export const earlier = resource<Histogram>();
export const facets = resource<Facets>();
export const earlierFacets = resource<Facets>();
export const patterns = resource<Patterns>();
export const earlierPatterns = resource<Patterns>();

export function keyOf(hit: Hit): string {
  return `${hit.index}/${hit.id}`;
}

/** The window of the same length before this one. */
export function earlierWindow(window: Window): Window {
  return { q: window.q, from: window.from - (window.to - window.from), to: window.from };
}

/** Fetches as the address says, while Explore is shown. Gives what ends it. */
export function startExplore(): () => void {
  let listKey = '';
  const stops = [
    effect(() => {
      const key = [query.value, range.value.from, range.value.to, isAscending.value, reloads.value].join('\n');
      const window = current.value;
      const isLines = view.value === 'lines';
      untracked(() => {
        if (key !== listKey || !hits.peek().length) {
          const isNew = key !== listKey;
          listKey = key;
          void loadFirst(window, isNew);
        } else if (isLines) void loadPending(window);
      });
    }),
    effect(() => {
      const window = current.value;
      const comparing = isComparing.value;
      const names = [FACETS, ...extraFacets.value].join(',');
      untracked(() => {
        const buckets = Math.max(30, Math.min(120, Math.floor(innerWidth / 12)));
        void histogram.load((signal) => get('histogram', { ...over(window), by: 'log.level', buckets }, signal));
        void facets.load((signal) => get('facets', { ...over(window), fields: names, size: 8 }, signal));
        if (!comparing) {
          earlier.clear();
          earlierFacets.clear();
          return;
        }
        void earlier.load((signal) => get('histogram', { ...over(earlierWindow(window)), by: 'log.level', buckets }, signal));
        void earlierFacets.load((signal) => get('facets', { ...over(earlierWindow(window)), fields: names, size: 50 }, signal));
      });
    }),
    effect(() => {
      if (view.value !== 'patterns') return;
      const window = current.value;
      const comparing = isComparing.value;
      untracked(() => {
        void patterns.load((signal) => get('patterns', { ...over(window), size: 200 }, signal));
        if (comparing) void earlierPatterns.load((signal) => get('patterns', { ...over(earlierWindow(window)), size: 500 }, signal));
        else earlierPatterns.clear();
      });
    }),
    effect(() => {
      const seconds = refresh.value;
      if (!seconds) return;
      const timer = setInterval(() => {
        // A tab that nobody looks at asks for nothing.
        if (!document.hidden && !search.loading.peek()) ticks.value++;
      }, seconds * 1_000);
      return () => clearInterval(timer);
    }),
  ];
  return () => {
    for (const stop of stops) stop();
    more?.abort();
  };
}

async function loadFirst(window: Window, isNew: boolean): Promise<void> {
  more?.abort();
  if (isNew) rememberQuery(window.q);
  await search.load(async (signal) => {
    const answer = await get<SearchResult>('search', { ...over(window), size: PAGE, sort: isAscending.peek() ? 'asc' : undefined }, signal);
    hits.value = answer.hits;
    nextCursor = answer.next_cursor;
    pending.value = [];
    isPendingCut.value = false;
    selected.value = -1;
    const open = param('open');
    opened.value = new Set(open ? [open] : []);
    return answer;
  });
}

/** Asks for the newest page again and keeps apart what is not in the list. */
async function loadPending(window: Window): Promise<void> {
  const known = new Set(hits.peek().map(keyOf));
  await search.load(async (signal) => {
    const answer = await get<SearchResult>('search', { ...over(window), size: PAGE }, signal);
    if (!isAscending.peek()) {
      const fresh = answer.hits.filter((hit) => !known.has(keyOf(hit)));
      pending.value = fresh;
      isPendingCut.value = fresh.length === answer.hits.length && fresh.length > 0 && answer.next_cursor !== null;
    }
    return answer;
  });
}

/** Puts the waiting lines into the list. */
export function showPending(): void {
  if (!pending.peek().length) return;
  // With more new lines than a page there would be a hole between them and the list.
  if (isPendingCut.peek()) {
    reloads.value++;
    return;
  }
  hits.value = [...pending.peek(), ...hits.peek()];
  pending.value = [];
  selected.value = -1;
}

export async function loadMore(): Promise<void> {
  if (!nextCursor || isLoadingMore.peek() || search.loading.peek() || hits.peek().length >= MOST_LINES) return;
  more?.abort();
  const controller = new AbortController();
  more = controller;
  isLoadingMore.value = true;
  try {
    const cursor = nextCursor;
    const window = current.peek();
    const answer = await get<SearchResult>('search', { ...over(window), size: PAGE, cursor, total: false, sort: isAscending.peek() ? 'asc' : undefined }, controller.signal);
    if (controller.signal.aborted) return;
    const known = new Set(hits.peek().map(keyOf));
    hits.value = [...hits.peek(), ...answer.hits.filter((hit) => !known.has(keyOf(hit)))];
    nextCursor = answer.next_cursor;
  } catch (error) {
    if (!isAbort(error) && !(error instanceof Problem)) throw error;
    // The next scroll asks again; the first page's own failure is what is shown.
  } finally {
    if (more === controller) isLoadingMore.value = false;
  }
}

/** Whether the list holds all there is. */
export function isComplete(): boolean {
  return nextCursor === null;
}

export function toggleOpen(hit: Hit): void {
  const next = new Set(opened.peek());
  const key = keyOf(hit);
  if (!next.delete(key)) next.add(key);
  opened.value = next;
}
