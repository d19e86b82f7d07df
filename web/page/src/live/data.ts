// The live tail: a connection that comes back by itself, and a bounded list of what it brought.
//
// While the user reads (paused, or scrolled up) the list on the screen is frozen; lines go on
// arriving behind it and are shown at a press.

import { effect, signal } from '@preact/signals';
import { events, get, isAbort, Problem } from '../api/client';
import type { Hit, SearchResult, TailStats } from '../api/types';
import { query } from '../state/view';

/** Lines kept. A tail is for looking at now; older ones are in Explore. */
const KEPT = 20_000;
/** Lines a second that are asked for; beyond it the server picks, and says so. */
const RATE = 5_000;
/** The list is drawn this often at most: faster than the eye follows costs only heat. */
const DRAW_EVERY_MS = 120;
const FIRST_LINES = 200;
const RETRY_MS = [500, 1_000, 2_000, 5_000, 10_000];

export interface Item {
  key: number;
  /** Undefined for a note between lines. */
  hit?: Hit;
  note?: string;
}

export type Connection = 'connecting' | 'open' | 'lost' | 'refused';

export const shown = signal<Item[]>([]);
export const connection = signal<Connection>('connecting');
export const problem = signal<Problem | undefined>(undefined);
export const stats = signal<TailStats | undefined>(undefined);
/** Lines that came while the list was frozen. */
export const waiting = signal(0);
export const isFrozen = signal(false);

let items: Item[] = [];
let next = 0;
let pendingCount = 0;
let drawTimer: ReturnType<typeof setTimeout> | undefined;

function push(item: Omit<Item, 'key'>): void {
  items.push({ key: next++, ...item });
  if (item.hit && isFrozen.peek()) pendingCount++;
}

function draw(): void {
  drawTimer ??= setTimeout(() => {
    drawTimer = undefined;
    if (items.length > KEPT * 1.2) items = items.slice(-KEPT);
    waiting.value = pendingCount;
    if (!isFrozen.peek()) shown.value = items.slice(-KEPT);
  }, DRAW_EVERY_MS);
}

export function freeze(): void {
  if (isFrozen.peek()) return;
  pendingCount = 0;
  waiting.value = 0;
  isFrozen.value = true;
}

export function thaw(): void {
  isFrozen.value = false;
  pendingCount = 0;
  waiting.value = 0;
  shown.value = items.slice(-KEPT);
}

export function clear(): void {
  items = [];
  pendingCount = 0;
  waiting.value = 0;
  shown.value = [];
}

/** Connects for the query in the address, and anew when it changes. Gives what ends it. */
export function startLive(): () => void {
  let controller = new AbortController();
  const stop = effect(() => {
    const q = query.value;
    controller.abort();
    controller = new AbortController();
    clear();
    isFrozen.value = false;
    void follow(q, controller.signal);
  });
  return () => {
    stop();
    controller.abort();
    clearTimeout(drawTimer);
    drawTimer = undefined;
  };
}

async function follow(q: string, signal: AbortSignal): Promise<void> {
  connection.value = 'connecting';
  problem.value = undefined;
  stats.value = undefined;
  let recent = await firstLines(q, signal);
  let lostAt = 0;
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      await events('tail', { q, rate: RATE }, signal, (event) => {
        if (event.event === 'lines') {
          for (const hit of (JSON.parse(event.data) as { hits: Hit[] }).hits) {
            // The tail may repeat what the first search had.
            if (!recent.delete(hit.id)) push({ hit });
          }
          draw();
        } else if (event.event === 'stats') stats.value = JSON.parse(event.data) as TailStats;
        else if (event.event === 'problem') problem.value = new Problem(JSON.parse(event.data), 500);
      }, () => {
        connection.value = 'open';
        problem.value = undefined;
        attempt = 0;
        if (lostAt) {
          push({ note: `The connection was away for ${Math.round((Date.now() - lostAt) / 1_000)} s. Lines of that time are in Explore.` });
          draw();
        }
        lostAt = 0;
      });
      if (!signal.aborted) lostAt ||= Date.now();
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      if (error instanceof Problem) problem.value = error;
      // A wrong query, or no right to it, does not become right by asking again.
      if (error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429) {
        connection.value = 'refused';
        return;
      }
      lostAt ||= Date.now();
    }
    recent = new Set();
    connection.value = 'lost';
    stats.value = undefined;
    const wait = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)] ?? 10_000;
    await new Promise((done) => setTimeout(done, wait * (0.75 + Math.random() / 2)));
  }
}

/** The newest lines of the store, so that the view does not open empty. Gives their ids. */
async function firstLines(q: string, signal: AbortSignal): Promise<Set<string>> {
  try {
    const answer = await get<SearchResult>('search', { q, from: 'now-15m', to: 'now', size: FIRST_LINES, total: false }, signal);
    for (const hit of [...answer.hits].reverse()) push({ hit });
    draw();
    return new Set(answer.hits.map((hit) => hit.id));
  } catch {
    // The tail itself says what is wrong.
    return new Set();
  }
}
