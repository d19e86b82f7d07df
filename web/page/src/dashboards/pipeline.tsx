// The panels about the pipeline itself: what this aggregator tells of its way to the store.

import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { get, Problem } from '../api/client';
import type { Rules, Status, Stream } from '../api/types';
import { follow } from '../app';
import { TimeChart } from '../chart/TimeChart';
import { seriesColor } from '../chart/palette';
import { clause } from '../query/tokens';
import { theme } from '../state/session';
import { carried, over, zone } from '../state/view';
import { href } from '../state/location';
import { bytes, compact, count, duration, percent } from '../time/format';
import { usePanel } from './fetch';
import type { SpecialPanel } from './model';
import { ExploreLink, Frame } from './panels';

const POLL_MS = 2_000;
/** Ten minutes of polls. */
const KEPT_POLLS = 300;
/** A lag above this is worth a look: lines should be there within seconds. */
const SLOW_MS = 30_000;

interface Poll {
  at: number;
  counters: Record<string, number>;
}

const status = signal<Status | undefined>(undefined);
const statusProblem = signal<Problem | undefined>(undefined);
const polls = signal<Poll[]>([]);
let watchers = 0;
let timer: ReturnType<typeof setTimeout> | undefined;

/** Polls the aggregator's figures while a panel shows them. */
function useStatus(): void {
  useEffect(() => {
    watchers++;
    if (watchers === 1) void poll();
    return () => {
      watchers--;
      if (!watchers) clearTimeout(timer);
    };
  }, []);
}

async function poll(): Promise<void> {
  try {
    const answer = await get<Status>('status', {});
    status.value = answer;
    statusProblem.value = undefined;
    polls.value = [...polls.peek(), { at: Date.now(), counters: answer.counters ?? {} }].slice(-KEPT_POLLS);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    statusProblem.value = error;
  }
  if (watchers) timer = setTimeout(() => void poll(), POLL_MS);
}

/** A counter by its name, whichever prefix and suffix it has. */
function counter(counters: Record<string, number> | undefined, name: string): number | undefined {
  if (!counters) return undefined;
  return counters[name] ?? counters[`${name}_total`] ?? counters[`tailrace_${name}_total`] ?? counters[`tailrace_${name}`];
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

function inner(value: unknown): Record<string, unknown> {
  return value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : {};
}

export function Outputs({ panel }: { panel: SpecialPanel }) {
  useStatus();
  const s = status.value;
  // What has never happened has no counter yet.
  const sum = (name: string) => s?.counters && (counter(s.counters, name) ?? 0);
  const sums: [string, number | undefined, boolean][] = [
    ['records', sum('records'), false], ['indexed', sum('store_docs_indexed'), false], ['already there', sum('store_docs_duplicate'), false],
    ['retried', sum('store_docs_retried'), true], ['mended', sum('store_docs_mended'), true], ['parked', sum('store_docs_parked'), true], ['dead letters', sum('store_docs_dead_lettered'), true],
    ['dropped by rules', sum('records_dropped'), false],
  ];
  return (
    <Frame title={panel.title}>
      {statusProblem.value && <p class="panel-problem" role="alert">{statusProblem.value.message}</p>}
      {s && (
        <>
          <dl class="facts">
            <div><dt>version</dt><dd>{s.version}</dd></div>
            <div><dt>up</dt><dd>{duration(s.uptime_seconds * 1_000)}</dd></div>
            {s.resident_bytes !== undefined && s.resident_bytes !== null && <div><dt>memory</dt><dd>{bytes(s.resident_bytes)}</dd></div>}
            {sums.map(([name, value, isTrouble]) => value !== undefined && <div key={name} class={isTrouble && value > 0 ? 'trouble' : ''}><dt>{name}</dt><dd title={count(value)}>{compact(value)}</dd></div>)}
          </dl>
          {s.reload_error && <p class="panel-problem">The last reload was refused: {s.reload_error}</p>}
          {s.outputs.map((output, i) => <Output key={String(output.name ?? i)} output={output} />)}
        </>
      )}
    </Frame>
  );
}

function Output({ output }: { output: Record<string, unknown> }) {
  const buffer = inner(output.buffer);
  const store = inner(output.store);
  const used = number(buffer.disk_bytes) ?? number(buffer.bytes) ?? number(output.bytes) ?? 0;
  const most = number(buffer.max_bytes) ?? number(output.max_bytes);
  const parked = Array.isArray(store.parked) ? store.parked : [];
  return (
    <div class="output">
      <b>{String(output.name ?? 'output')}</b>
      {most ? (
        <span class="gauge">
          <meter min={0} max={most} value={used} low={most * 0.5} high={most * 0.8} optimum={0} aria-label="Buffer" />
          buffer {bytes(used)} of {bytes(most)} ({percent(used / most)})
        </span>
      ) : <span class="dim">{bytes(used)} held</span>}
      {number(buffer.oldest_seconds) ? <span>oldest {duration((number(buffer.oldest_seconds) ?? 0) * 1_000)}</span> : null}
      {number(store.concurrency) !== undefined && <span class="dim">{number(store.in_flight) ?? 0} of {number(store.concurrency)} requests under way</span>}
      {parked.length > 0 && <span class="bad">{parked.length} data streams parked: {parked.map((p) => `${inner(p).data_stream}: ${inner(p).reason}`).join('; ')}</span>}
      {store.last_error ? <span class="bad">{String(inner(store.last_error).message ?? store.last_error)}</span> : null}
    </div>
  );
}

export function Throughput({ panel }: { panel: SpecialPanel }) {
  useStatus();
  theme.value;
  const list = polls.value;
  const rate = (name: string) => list.slice(1).map((p, i) => {
    const before = list[i];
    const [now, then] = [counter(p.counters, name), counter(before?.counters, name)];
    // A restart begins from nothing.
    return now === undefined || then === undefined || !before || now < then ? NaN : ((now - then) * 1_000) / (p.at - before.at);
  });
  const series = [['records', 'records received'], ['store_docs_indexed', 'documents indexed']]
    .map(([name = '', label = ''], i) => ({ label, color: seriesColor(null, i, false), counts: rate(name) }))
    .filter((s) => s.counts.some(Number.isFinite));
  return (
    <Frame title={panel.title}>
      {list.length > 2 && series.length > 0
        ? (
          <>
            <TimeChart label={panel.title} kind="lines" starts={list.slice(1).map((p) => p.at)} interval={POLL_MS} series={series} height={180} zone={zone.value} format={compact} />
            <ul class="names">{series.map((s) => <li key={s.label}><i class="swatch" style={{ background: s.color }} />{s.label} <b>{compact(Math.round(s.counts.at(-1) ?? 0))}</b></li>)}</ul>
          </>
        )
        : <p class="panel-empty dim">{statusProblem.value ? statusProblem.value.message : 'Measuring…'}</p>}
    </Frame>
  );
}

function useStreams() {
  return usePanel('', [], (window, signal) => get<{ total: number; streams: Stream[] }>('streams', { ...over(window), size: 200 }, signal));
}

export function Lag({ panel }: { panel: SpecialPanel }) {
  const data = useStreams();
  const lags = (data.data.value?.streams ?? []).flatMap((s) => (typeof s.lag_ms === 'number' ? [s.lag_ms] : [])).sort((a, b) => a - b);
  const median = lags[Math.floor(lags.length / 2)];
  const worst = lags.at(-1);
  return (
    <Frame title={panel.title} data={data}>
      <p class="figure">{median === undefined ? '–' : duration(median)}</p>
      <p class={`figure-change ${worst !== undefined && worst > SLOW_MS ? 'bad' : 'dim'}`}>{worst === undefined ? '\u00a0' : `slowest stream ${duration(worst)}`}</p>
    </Frame>
  );
}

export function Streams({ panel }: { panel: SpecialPanel }) {
  const data = useStreams();
  const list = [...(data.data.value?.streams ?? [])].sort((a, b) => (b.lag_ms ?? -1) - (a.lag_ms ?? -1));
  return (
    <Frame title={panel.title} data={data} isEmpty={data.data.value !== undefined && !list.length}>
      {list.length > 0 && (
        <div class="scroll-x tall" tabIndex={0} role="region" aria-label={panel.title}>
          <table class="top-table">
            <thead><tr><th scope="col">container</th><th scope="col">node</th><th scope="col" class="num">lines</th><th scope="col" class="num">bytes</th><th scope="col" class="num">lag</th></tr></thead>
            <tbody>
              {list.map((s) => (
                <tr key={s.stream}>
                  <td class="name"><ExploreLink q={clause('stream', s.stream, false)}>{[s.namespace, s.pod, s.container].filter(Boolean).join(' / ') || s.service || s.file || s.stream}</ExploreLink></td>
                  <td class="dim">{s.node ?? '–'}</td>
                  <td class="num">{compact(s.lines)}</td>
                  <td class="num">{bytes(s.bytes)}</td>
                  <td class={s.lag_ms !== null && s.lag_ms !== undefined && s.lag_ms > SLOW_MS ? 'num bad' : 'num'}>{typeof s.lag_ms === 'number' ? duration(s.lag_ms) : '–'}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Frame>
  );
}

export function RulesPanel({ panel }: { panel: SpecialPanel }) {
  const data = usePanel('', [], (window, signal) => get<Rules>('rules', { from: over(window).from, to: over(window).to }, signal));
  const list = [...(data.data.value?.rules ?? [])].sort((a, b) => b.documents - a.documents);
  const params = carried(['from', 'to', 'tz']);
  return (
    <Frame title={panel.title} data={data} isEmpty={data.data.value !== undefined && !list.length}>
      <table class="top-table">
        <tbody>
          {list.slice(0, 12).map((rule) => (
            <tr key={rule.name}>
              <td class="name"><ExploreLink q={clause('rule', rule.name, false)}>{rule.name}</ExploreLink></td>
              <td class="num">{compact(rule.documents)}</td>
            </tr>
          ))}
          {data.data.value?.unmatched !== undefined && (
            <tr>
              <td class="name"><a href={href('/rules/unmatched', params)} onClick={(event) => follow(event, '/rules/unmatched', params)}>unmatched</a></td>
              <td class="num">{compact(data.data.value.unmatched)}</td>
            </tr>
          )}
        </tbody>
      </table>
    </Frame>
  );
}
