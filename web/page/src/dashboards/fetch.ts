// Data of a panel: fetched when the window or the dashboard's filter changes, kept while the next
// answer is under way.

import { useEffect, useMemo } from 'preact/hooks';
import { resource, type Resource } from '../state/resource';
import { current, query, type Window } from '../state/view';
import { both } from './model';

/** Fetches with the panel's query and the dashboard's together. */
export function usePanel<T>(q: string | undefined, dependencies: unknown[], fetcher: (window: Window, signal: AbortSignal) => Promise<T>): Resource<T> {
  const own = useMemo(() => resource<T>(), []);
  const window = current.value;
  const whole = both(query.value, q);
  useEffect(() => {
    void own.load((signal) => fetcher({ ...window, q: whole }, signal));
  }, [whole, window.from, window.to, ...dependencies]);
  useEffect(() => () => own.clear(), []);
  return own;
}
