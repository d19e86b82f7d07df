// The panels over documents: figures, charts, tables, lines.

import type { ComponentChildren } from 'preact';
import { get } from '../api/client';
import type { Histogram, Hit, Row, SearchResult, Table } from '../api/types';
import { follow } from '../app';
import { seriesColor, themeColor } from '../chart/palette';
import { TimeChart } from '../chart/TimeChart';
import { earlierWindow } from '../explore/data';
import { shortName } from '../explore/Facets';
import { Line } from '../list/Line';
import { clause } from '../query/tokens';
import { href } from '../state/location';
import type { Resource } from '../state/resource';
import { serverNow, theme } from '../state/session';
import { carried, over, query, setRange, zone } from '../state/view';
import { LEVELS, levelOf, text } from '../text/document';
import { ago, bytes, compact, count, dateClock, duration, percent } from '../time/format';
import { absolute } from '../time/range';
import { Icon } from '../ui/icons';
import { Busy } from '../ui/Notice';
import { usePanel } from './fetch';
import { both, type DonutPanel, type FigurePanel, type LinesPanel, type NewestPanel, type TimelinePanel, type TopPanel, type Unit } from './model';

const CHART_PX = 180;
/** Shorter ranges have too few days for a bar each. */
const LEAST_DAYS_MS = 3 * 86_400_000;

export function written(value: number | null | undefined, unit: Unit = 'count'): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  if (unit === 'bytes') return bytes(value);
  if (unit === 'ns') return duration(value / 1e6);
  if (unit === 'ms') return duration(value);
  if (unit === 'percent') return percent(value);
  return compact(value);
}

/** A link to the lines behind a panel or a row. */
export function ExploreLink({ q, children, label, class: className }: { q: string; children: ComponentChildren; label?: string; class?: string }) {
  const params = carried(['from', 'to', 'tz']);
  const whole = both(query.value, q);
  if (whole) params.set('q', whole);
  return <a class={className} href={href('/explore', params)} aria-label={label} title={label} onClick={(event) => follow(event, '/explore', params)}>{children}</a>;
}

/** The frame around a panel's content. */
export function Frame({ title, q, data, children, isEmpty }: { title: string; q?: string; data?: Resource<unknown>; children: ComponentChildren; isEmpty?: boolean }) {
  return (
    <>
      <header class="panel-head">
        <h2>{title}</h2>
        {q !== undefined && <ExploreLink q={q} class="act" label={`Explore: ${title}`}><Icon name="search" /></ExploreLink>}
      </header>
      <Busy on={data?.loading.value ?? false} />
      {data?.problem.value ? <p class="panel-problem" role="alert">{data.problem.value.message}</p> : isEmpty ? <p class="panel-empty dim">Nothing in this range</p> : children}
    </>
  );
}

export function Figure({ panel }: { panel: FigurePanel }) {
  const data = usePanel(panel.q, [panel.metric, panel.of], async (window, signal) => {
    const ask = async (over_: typeof window) => {
      const table = await get<Table>('aggregate', { ...over(over_), metrics: panel.metric }, signal);
      const value = panel.metric === 'count' ? table.total : table.rows[0]?.values[0] ?? null;
      if (panel.of === undefined || value === null) return value;
      const whole = await get<{ count: number }>('count', over({ ...over_, q: both(query.peek(), panel.of) }), signal);
      return whole.count ? value / whole.count : null;
    };
    const [now, before] = await Promise.all([ask(window), ask(earlierWindow(window))]);
    return { now, before };
  });
  const { now, before } = data.data.value ?? {};
  const share = now !== null && now !== undefined && before ? now / before - 1 : undefined;
  return (
    <Frame title={panel.title} q={panel.q ?? ''} data={data}>
      <p class="figure">{data.data.value ? written(now, panel.unit) : '…'}</p>
      <p class={`figure-change ${panel.isBad && share && share > 0.05 ? 'bad' : 'dim'}`}>
        {share === undefined ? '\u00a0' : Math.abs(share) < 0.005 ? 'as before' : `${share > 0 ? '▲' : '▼'} ${share > 9.99 ? `×${compact(Math.round(share + 1))}` : percent(Math.abs(share))}, was ${written(before, panel.unit)}`}
      </p>
    </Frame>
  );
}

/** A histogram's series as the chart wants them, levels by their order and colour. */
function chartSeries(h: Histogram, by: string | undefined) {
  const isLevel = by === 'log.level';
  const order = h.series.map((_, i) => i);
  if (isLevel) order.sort((a, b) => LEVELS.indexOf(levelOf(h.series[b]?.key)) - LEVELS.indexOf(levelOf(h.series[a]?.key)));
  return order.map((i) => {
    const s = h.series[i];
    return { label: s?.other ? 'other' : s?.key ?? (by ? 'none' : 'lines'), color: s?.other ? themeColor('--level-none') : seriesColor(s?.key ?? null, i, isLevel), counts: h.buckets.map((b) => b.counts[i] ?? 0) };
  });
}

export function Timeline({ panel }: { panel: TimelinePanel }) {
  const data = usePanel(panel.q, [panel.by, panel.splits], async (window, signal) => {
    const isByDay = panel.byDay && window.to - window.from >= LEAST_DAYS_MS;
    const width = isByDay ? { interval: '1d', tz: zone.peek() === 'utc' ? undefined : Intl.DateTimeFormat().resolvedOptions().timeZone } : { buckets: 60 };
    if (!panel.splits) return [await get<Histogram>('histogram', { ...over(window), by: panel.by ?? '', ...width, top: 8 }, signal)];
    return Promise.all(panel.splits.map((split) => get<Histogram>('histogram', { ...over({ ...window, q: both(window.q, split.q) }), by: '', buckets: 60 }, signal)));
  });
  theme.value;
  const answers = data.data.value;
  const first = answers?.[0];
  // Without a field to split by there is one series, and its counts are the buckets' own.
  const series = !first ? [] : panel.splits
    ? panel.splits.map((split, i) => ({ label: split.label, color: split.color ? themeColor(split.color) : seriesColor(null, i, false), counts: answers?.[i]?.buckets.map((b) => b.count) ?? [] }))
    : panel.by ? chartSeries(first, panel.by) : [{ label: 'lines', color: seriesColor(null, 0, false), counts: first.buckets.map((b) => b.count) }];
  const total = answers?.reduce((n, h) => n + h.total, 0) ?? 0;
  return (
    <Frame title={panel.title} q={panel.q ?? ''} data={data} isEmpty={first !== undefined && !total}>
      {first && (
        <>
          <TimeChart
            label={`${panel.title}, ${count(total)} in all`} starts={first.buckets.map((b) => b.start)} interval={first.interval_ms} series={series}
            height={CHART_PX} zone={zone.value} format={compact} onSelect={(from, to) => setRange(absolute(from, to))}
          />
          <Names names={series.filter((s) => s.counts.some(Boolean)).map((s) => ({ label: s.label, color: s.color }))} />
        </>
      )}
    </Frame>
  );
}

function Names({ names }: { names: { label: string; color: string }[] }) {
  if (names.length < 2) return null;
  return <ul class="names">{names.map((n) => <li key={n.label}><i class="swatch" style={{ background: n.color }} />{n.label}</li>)}</ul>;
}

export function Lines({ panel }: { panel: LinesPanel }) {
  const data = usePanel(panel.q, [panel.metrics.join(), panel.by], (window, signal) =>
    get<Table>('aggregate', { ...over(window), by: panel.by ?? '', metrics: panel.metrics.join(','), size: 8, interval: 'auto' }, signal));
  theme.value;
  const table = data.data.value;
  const starts = table?.rows[0]?.buckets?.map((b) => b.start) ?? [];
  const series = (table?.rows ?? []).flatMap((row, r) => panel.metrics.map((metric, m) => ({
    label: [...row.key.map(String), panel.metrics.length > 1 || !row.key.length ? metric.replace(/:.*/, '') : ''].filter(Boolean).join(' '),
    color: seriesColor(null, panel.by ? r : m, false),
    counts: starts.map((start) => row.buckets?.find((b) => b.start === start)?.values[m] ?? NaN),
  })));
  return (
    <Frame title={panel.title} q={panel.q ?? ''} data={data} isEmpty={table !== undefined && !series.some((s) => s.counts.some(Number.isFinite))}>
      {starts.length > 0 && (
        <>
          <TimeChart label={panel.title} kind="lines" starts={starts} interval={table?.interval_ms ?? 1} series={series} height={CHART_PX} zone={zone.value} format={(v) => written(v, panel.unit)} onSelect={(from, to) => setRange(absolute(from, to))} />
          <Names names={series} />
        </>
      )}
    </Frame>
  );
}

/** The radius of a donut whose circumference is 100, so that shares are lengths. */
const RADIUS = 100 / (2 * Math.PI);

export function Donut({ panel }: { panel: DonutPanel }) {
  const data = usePanel(panel.q, [panel.by], (window, signal) => get<Table>('aggregate', { ...over(window), by: panel.by, size: 7 }, signal));
  theme.value;
  const table = data.data.value;
  const isLevel = panel.by === 'log.level';
  const parts = (table?.rows ?? []).map((row, i) => ({ label: String(row.key[0]), count: row.count, color: seriesColor(String(row.key[0]), i, isLevel) }));
  if (table?.other) parts.push({ label: 'other', count: table.other, color: themeColor('--level-none') });
  const total = parts.reduce((n, p) => n + p.count, 0);
  let at = 25;
  return (
    <Frame title={panel.title} q={panel.q ?? ''} data={data} isEmpty={table !== undefined && !total}>
      {total > 0 && (
        <div class="donut">
          <svg viewBox="0 0 42 42" role="img" aria-label={`${panel.title}: ${parts.map((p) => `${p.label} ${percent(p.count / total)}`).join(', ')}`}>
            {parts.map((p) => {
              const share = (p.count / total) * 100;
              const offset = at;
              at -= share;
              return <circle key={p.label} cx="21" cy="21" r={RADIUS} fill="none" stroke={p.color} stroke-width="7" stroke-dasharray={`${share} ${100 - share}`} stroke-dashoffset={offset} />;
            })}
            <text x="21" y="22.6" text-anchor="middle" class="donut-total">{compact(total)}</text>
          </svg>
          <ul>
            {parts.map((p) => (
              <li key={p.label}>
                <i class="swatch" style={{ background: p.color }} />
                {p.label === 'other' ? <span>other</span> : <ExploreLink q={both(panel.q, clause(shortName(panel.by), p.label, false))}>{p.label}</ExploreLink>}
                <b>{percent(p.count / total)}</b>
              </li>
            ))}
          </ul>
        </div>
      )}
    </Frame>
  );
}

export function Top({ panel }: { panel: TopPanel }) {
  const metrics = ['count', ...(panel.metrics ?? [])];
  const data = usePanel(panel.q, [panel.by, metrics.join(), panel.size], async (window, signal) => {
    const ask = { by: panel.by, metrics: metrics.join(','), order: panel.order ?? 'count', size: panel.size ?? 10, sample: panel.sample ? 1 : 0 };
    const table = await get<Table>('aggregate', { ...over(window), ...ask }, signal);
    // What was there before is not new; asked only where that matters.
    const before = panel.sample ? await get<Table>('aggregate', { ...over(earlierWindow(window)), by: panel.by, size: 1_000 }, signal) : undefined;
    // With nothing before, everything would be new, which says nothing.
    return { table, known: before && before.total > 0 && new Set(before.rows.map((row) => row.key.join('\n'))) };
  });
  const { table, known } = data.data.value ?? {};
  const minus = panel.minus ?? 0;
  const rows = (table?.rows ?? []).filter((row) => !minus || (row.values[1] ?? 0) > minus);
  const fields = panel.by.split(',');
  const most = Math.max(...rows.map((row) => row.count), 1);
  const queryOf = (row: Row) => row.key.reduce<string>((q, value, i) => both(q, clause(shortName(fields[i] ?? ''), String(value), false)), panel.q ?? '');
  return (
    <Frame title={panel.title} q={panel.q ?? ''} data={data} isEmpty={table !== undefined && !rows.length}>
      {rows.length > 0 && (
        <div class="scroll-x" tabIndex={0} role="region" aria-label={panel.title}>
          <table class="top-table">
            <thead class={panel.metrics || panel.sample ? '' : 'offscreen'}>
              <tr>
                <th scope="col">{panel.sample ? 'what' : fields.map(shortName).join(' / ')}</th>
                {panel.sample && <th scope="col">first in range</th>}
                {panel.sample && <th scope="col">last</th>}
                {!minus && <th scope="col" class="num">lines</th>}
                {panel.metrics?.map((m, i) => <th scope="col" class="num" key={m}>{panel.heads?.[i] ?? m}</th>)}
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <tr key={row.key.join('\n')}>
                  <td class="name">
                    {!minus && <span class="bar" style={{ width: `${(row.count / most) * 100}%` }} />}
                    <ExploreLink q={queryOf(row)}>{panel.sample && row.sample?.[0] ? <Kind hit={row.sample[0]} /> : row.key.map(String).join(' / ')}</ExploreLink>
                    {known && !known.has(row.key.join('\n')) && <span class="new">new</span>}
                  </td>
                  {panel.sample && <Seen at={row.first} />}
                  {panel.sample && <Seen at={row.last} />}
                  {!minus && <td class="num">{compact(row.count)}</td>}
                  {panel.metrics?.map((m, i) => <td class="num" key={m}>{written((row.values[i + 1] ?? NaN) - minus, panel.units?.[i])}</td>)}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Frame>
  );
}

/** What kind of error a document stands for. */
function Kind({ hit }: { hit: Hit }) {
  const type = text(hit.source, 'error.type');
  return (
    <span class="kind-of-error">
      <b>{type || text(hit.source, 'service.name') || 'error'}</b> <span>{text(hit.source, 'error.message') || text(hit.source, 'message').slice(0, 200)}</span>
      {type && <span class="dim"> {text(hit.source, 'service.name')}</span>}
    </span>
  );
}

function Seen({ at }: { at: string | null | undefined }) {
  const time = Date.parse(at ?? '');
  return <td class="dim when" title={Number.isFinite(time) ? dateClock(time, zone.value) : ''}>{Number.isFinite(time) ? ago(time, serverNow()) : '–'}</td>;
}

export function Newest({ panel }: { panel: NewestPanel }) {
  const data = usePanel(panel.q, [panel.size], (window, signal) => get<SearchResult>('search', { ...over(window), size: panel.size ?? 10, total: false }, signal));
  const hits = data.data.value?.hits ?? [];
  const columns = panel.columns ?? ['service.name', 'message'];
  // Narrower than Explore's: a panel has no room for a column that may be empty.
  const template = ['4px', '20ch', '6ch', ...columns.map((c) => (c === 'message' ? 'minmax(20ch, 1fr)' : 'minmax(6ch, 14ch)'))].join(' ');
  return (
    <Frame title={panel.title} q={panel.q ?? ''} data={data} isEmpty={data.data.value !== undefined && !hits.length}>
      <div class="lines in-panel" tabIndex={0} role="region" aria-label={panel.title}>
        {hits.map((hit) => (
          <a key={hit.id} class="line" style={{ gridTemplateColumns: template }} {...contextLink(hit, panel.q)}>
            <Line source={hit.source} columns={columns} zone={zone.value} withDate words={[]} />
          </a>
        ))}
      </div>
    </Frame>
  );
}

/** Leads to the line in Explore, among those around it. */
function contextLink(hit: Hit, q: string | undefined) {
  const params = carried(['from', 'to', 'tz']);
  const whole = both(query.value, q);
  if (whole) params.set('q', whole);
  params.set('context', `${hit.index}~${hit.id}`);
  return { href: href('/explore', params), onClick: (event: MouseEvent) => follow(event, '/explore', params) };
}
