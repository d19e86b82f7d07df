// The histogram over the whole range, by level: brush to zoom, press a bar's part to filter.

import { seriesColor } from '../chart/palette';
import { TimeChart } from '../chart/TimeChart';
import type { Histogram } from '../api/types';
import { toggleFilter, hasClause, clause } from '../query/tokens';
import { theme } from '../state/session';
import { query, setQuery, setRange, zone } from '../state/view';
import { LEVELS, levelOf } from '../text/document';
import { compact, count, duration, percent } from '../time/format';
import { absolute } from '../time/range';
import { earlier, histogram, isComparing } from './data';

/** Series from the least to the worst: errors stand on top, in the same place in every bar. */
function ordered(h: Histogram): number[] {
  const rank = (key: string | null) => LEVELS.indexOf(levelOf(key));
  return h.series.map((_, i) => i).sort((a, b) => rank(h.series[b]?.key ?? null) - rank(h.series[a]?.key ?? null));
}

export function ExploreChart({ height }: { height: number }) {
  const h = histogram.data.value;
  theme.value;
  if (!h || !h.buckets.length) return <div class="chart-empty" style={{ height: `${height}px` }}>{histogram.problem.value ? 'The chart could not be drawn.' : ''}</div>;
  const order = ordered(h);
  const series = order.map((i) => {
    const s = h.series[i];
    const key = s?.key ?? null;
    return { label: s?.other ? 'other' : key ?? 'no level', color: seriesColor(key, i, true), counts: h.buckets.map((b) => b.counts[i] ?? 0) };
  });
  const before = isComparing.value ? earlier.data.value : undefined;
  const outline = before && { outline: h.buckets.map((_, i) => before.buckets[i]?.count ?? 0) };
  return (
    <TimeChart
      label={`${count(h.total)} lines over time, by level`} starts={h.buckets.map((b) => b.start)} interval={h.interval_ms} series={series} height={height} zone={zone.value}
      format={compact} {...outline}
      onSelect={(from, to) => setRange(absolute(from, to))}
      onPick={(at, bucket) => {
        const picked = h.series[order[at] ?? -1];
        const start = h.buckets[bucket]?.start;
        if (picked?.key) setQuery(toggleFilter(query.peek(), 'level', picked.key, false));
        else if (start !== undefined) setRange(absolute(start, start + h.interval_ms));
      }}
    />
  );
}

/** Levels with their counts; each is a filter. */
export function Legend() {
  const h = histogram.data.value;
  if (!h) return null;
  const before = isComparing.value ? earlier.data.value : undefined;
  const rows = ordered(h).reverse();
  return (
    <div class="legend" role="group" aria-label="Levels">
      {rows.map((i) => {
        const s = h.series[i];
        if (!s || (!s.count && !s.other)) return null;
        const name = s.other ? 'other' : s.key ?? 'no level';
        const is = s.key !== null && hasClause(query.value, clause('level', s.key, false));
        const old = before?.series.find((o) => o.key === s.key)?.count;
        return (
          <button
            type="button" key={name} class={is ? 'legend-item chosen' : 'legend-item'} disabled={s.key === null || s.other} aria-pressed={is}
            title={s.key ? `Only ${name}` : name} onClick={() => s.key && setQuery(toggleFilter(query.peek(), 'level', s.key, false))}
          >
            <i class={`swatch level-${levelOf(s.key)}`} />{name} <b>{compact(s.count)}</b>{before && <Change now={s.count} before={old ?? 0} isBad={/^(warn|error|fatal)$/.test(levelOf(s.key))} />}
          </button>
        );
      })}
      <span class="dim small">per {duration(h.interval_ms)}</span>
    </div>
  );
}

/** How a count has changed since the period before; coloured where more is worse. */
export function Change({ now, before, isBad = false }: { now: number; before: number; isBad?: boolean }) {
  const up = isBad ? 'change up' : 'change';
  if (!before) return now ? <span class={up}>new</span> : null;
  const share = now / before - 1;
  if (Math.abs(share) < 0.005) return <span class="change">±0 %</span>;
  const text = share > 9.99 ? `×${compact(Math.round(now / before))}` : `${share > 0 ? '+' : '−'}${percent(Math.abs(share))}`;
  return <span class={share > 0 ? up : isBad ? 'change down' : 'change'} title={`${count(before)} in the period before`}>{text}</span>;
}
