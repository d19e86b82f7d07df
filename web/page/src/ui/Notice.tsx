// What stands where data would be: nothing found, something failed, still loading.

import type { ComponentChildren } from 'preact';
import type { Problem } from '../api/client';
import { reloads } from '../state/view';

/** An empty place, and what to do about it. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children}
    </div>
  );
}

/** A failure, what can be done, and a button to try again. */
export function Failure({ problem, retry }: { problem: Problem; retry?: () => void }) {
  const advice = problem.status === 0 || problem.status >= 500
    ? 'Lines that come in the meantime are buffered; nothing is lost by it.'
    : problem.status === 401 || problem.status === 403 ? 'Ask whoever runs this Tailrace for access.' : problem.document.hint;
  return (
    <div class="failure" role="alert">
      <p><strong>{problem.document.title ?? 'That did not work'}.</strong> {problem.message}</p>
      {advice && <p class="dim">{advice}</p>}
      <button type="button" class="button" onClick={retry ?? (() => reloads.value++)}>Try again</button>
    </div>
  );
}

/** A thin line at the top of a pane while a request is under way. */
export function Busy({ on }: { on: boolean }) {
  return <div class={on ? 'busy on' : 'busy'} aria-hidden="true" />;
}
