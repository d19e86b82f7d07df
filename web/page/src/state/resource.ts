// A request whose answer is shown: the latest one wins, earlier ones are aborted, and the answer
// that is on the screen stays there until the next has come, so that nothing flickers.

import { signal, type ReadonlySignal } from '@preact/signals';
import { isAbort, Problem } from '../api/client';

export interface Resource<T> {
  data: ReadonlySignal<T | undefined>;
  problem: ReadonlySignal<Problem | undefined>;
  loading: ReadonlySignal<boolean>;
  /** Starts a request in place of the one under way. */
  load(fetcher: (signal: AbortSignal) => Promise<T>): Promise<void>;
  /** Aborts, and forgets the answer. */
  clear(): void;
}

export function resource<T>(): Resource<T> {
  const data = signal<T | undefined>(undefined);
  const problem = signal<Problem | undefined>(undefined);
  const loading = signal(false);
  let current: AbortController | undefined;
  return {
    data,
    problem,
    loading,
    async load(fetcher) {
      current?.abort();
      const controller = new AbortController();
      current = controller;
      loading.value = true;
      try {
        const answer = await fetcher(controller.signal);
        if (current !== controller) return;
        data.value = answer;
        problem.value = undefined;
      } catch (error) {
        if (current !== controller || isAbort(error)) return;
        problem.value = error instanceof Problem ? error : new Problem({ title: 'Error in the page', detail: String(error) }, 0);
      } finally {
        if (current === controller) loading.value = false;
      }
    },
    clear() {
      current?.abort();
      current = undefined;
      data.value = undefined;
      problem.value = undefined;
      loading.value = false;
    },
  };
}
