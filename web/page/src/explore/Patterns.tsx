// Similar messages as one row: what is frequent, what is new, what can be left out.

import { signal } from '@preact/signals';
import type { Pattern } from '../api/types';
import { addClause } from '../query/tokens';
import { query, setQuery, zone } from '../state/view';
import { setParams } from '../state/location';
import { stripAnsi } from '../text/ansi';
import { levelOf, text } from '../text/document';
import { ago, compact, count, dateClock, percent } from '../time/format';
import { serverNow } from '../state/session';
import { Icon } from '../ui/icons';
import { Busy, Empty, Failure } from '../ui/Notice';
import { Change } from './Chart';
import { earlierPatterns, isComparing, patterns } from './data';

const order = signal<'count' | 'rare' | 'errors'>('count');

export function PatternsView() {
  const answer = patterns.data.value;
  const before = isComparing.value ? earlierPatterns.data.value : undefined;
  if (patterns.problem.value) return <Failure problem={patterns.problem.value} />;
  if (!answer) return <Busy on />;
  if (!answer.patterns.length) return <Empty title="No messages to group"><p>No line of this range matches. Widen the range, or loosen the search.</p></Empty>;
  const old = new Map(before?.patterns.map((p) => [p.pattern, p.count]));
  // Both periods were sampled; their counts compare only as shares.
  const scale = before?.sampled ? (before.total / before.sampled) : 1;
  const errors = (p: Pattern) => Object.entries(p.levels).reduce((n, [level, c]) => n + (/^(error|fatal)$/.test(levelOf(level)) ? c : 0), 0);
  const list = [...answer.patterns].sort((a, b) => (order.value === 'errors' ? errors(b) - errors(a) || b.count - a.count : order.value === 'rare' ? a.count - b.count : b.count - a.count));
  const most = Math.max(...list.map((p) => p.count));
  return (
    <div class="patterns" tabIndex={0} role="region" aria-label="Patterns">
      <Busy on={patterns.loading.value} />
      <div class="patterns-bar">
        <span>{count(answer.patterns.length)} patterns{answer.sampled < answer.total && <span class="dim"> in the newest {count(answer.sampled)} of {count(answer.total)} lines</span>}</span>
        <span class="space" />
        <div class="switch" role="group" aria-label="Order">
          {([['count', 'Most'], ['rare', 'Rarest'], ['errors', 'Errors']] as const).map(([key, name]) => (
            <button type="button" key={key} aria-pressed={order.value === key} onClick={() => { order.value = key; }}>{name}</button>
          ))}
        </div>
      </div>
      <ul>
        {list.map((p) => (
          <li key={p.pattern} class="pattern">
            <div class="pattern-count">
              <span class="bar" style={{ width: `${(p.count / most) * 100}%` }} />
              <b>{compact(p.count)}</b> <span class="dim">{percent(p.share)}</span>
              {before && <Change now={p.count * (answer.total / Math.max(answer.sampled, 1))} before={(old.get(p.pattern) ?? 0) * scale} />}
            </div>
            <div class="pattern-text">
              <button type="button" class="pattern-open" title={`For example: ${stripAnsi(text(p.sample.source, 'message'))}`} onClick={() => open(p)}>
                {stripAnsi(p.pattern).split('<*>').flatMap((piece, i) => (i ? [<i key={i} class="hole">∗</i>, piece] : [piece]))}
              </button>
              <div class="pattern-facts dim">
                {Object.entries(p.levels).sort((a, b) => b[1] - a[1]).map(([level, n]) => <span key={level}><i class={`swatch level-${levelOf(level)}`} />{level} {compact(n)}</span>)}
                {p.services && <span>{Object.keys(p.services).slice(0, 3).join(', ')}{Object.keys(p.services).length > 3 && ` and ${Object.keys(p.services).length - 3} more`}</span>}
                <span title={dateClock(Date.parse(p.last), zone.value)}>last {ago(Date.parse(p.last), serverNow())}</span>
              </div>
            </div>
            <button type="button" class="act" aria-label="Leave these lines out" title="Leave these lines out" onClick={() => setQuery(addClause(query.peek(), /\s/.test(p.query) && !/^"[^"]*"$/.test(p.query) ? `-(${p.query})` : `-${p.query}`))}><Icon name="minus" /></button>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** The lines behind a pattern. */
function open(p: Pattern): void {
  setParams({ q: addClause(query.peek(), p.query), view: undefined });
}
