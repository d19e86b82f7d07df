// A chart over time: stacked bars or lines, with a legend, a tooltip, brushing, and keys.

import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { theme } from '../state/session';
import { compact, count, dateClock } from '../time/format';
import type { Zone } from '../time/range';
import { barsPlugin, stack, type Series } from './bars';
import { themeColor } from './palette';
import { touchPlugin, type Part } from './touch';

interface Props {
  /** What the chart shows, for those who cannot see it. */
  label: string;
  /** Starts of the buckets, in milliseconds since 1970. */
  starts: number[];
  interval: number;
  /** The bottom one first. Lines with gaps have NaN. */
  series: Series[];
  /** Totals of the period before, in the order of the buckets. */
  outline?: number[];
  kind?: 'bars' | 'lines';
  height: number;
  zone: Zone;
  /** How values are written. */
  format?: (value: number) => string;
  /** The user brushed over, or chose, this part. */
  onSelect?: (from: number, to: number) => void;
  /** The user pressed on a series' part of a bar. */
  onPick?: (series: number, bucket: number) => void;
}

export function TimeChart(props: Props) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const latest = useRef(props);
  latest.current = props;
  const [cursor, setCursor] = useState(-1);
  const { starts, series, kind = 'bars' } = props;
  // uPlot cannot change the number of its series or its colours: another set is another chart.
  const shape = `${kind} ${kind === 'lines' ? series.map((s) => s.label).join('\n') : ''} ${props.zone} ${theme.value}`;

  useLayoutEffect(() => {
    const element = host.current;
    if (!element) return;
    const built = new uPlot(options(latest, element, setCursor), data(latest.current), element);
    plot.current = built;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth) built.setSize({ width: element.clientWidth, height: latest.current.height });
    });
    observer.observe(element);
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    const redraw = () => built.redraw(false, true);
    scheme.addEventListener('change', redraw);
    return () => {
      observer.disconnect();
      scheme.removeEventListener('change', redraw);
      built.destroy();
    };
  }, [shape]);
  useEffect(() => {
    plot.current?.setData(data(props));
  }, [starts, series, props.outline, props.interval]);

  const onKeyDown = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
    if (step) {
      event.preventDefault();
      setCursor(Math.min(Math.max((cursor < 0 ? (step > 0 ? -1 : starts.length) : cursor) + step, 0), starts.length - 1));
    } else if (event.key === 'Enter' && cursor >= 0) {
      event.preventDefault();
      const start = starts[cursor];
      if (start !== undefined) props.onSelect?.(start, start + props.interval);
    }
  };
  return (
    <div class="chart" role="group" aria-label={props.label}>
      <div
        ref={host} class="plot" style={{ height: `${props.height}px` }} tabIndex={0} role="img" aria-label={`${props.label}. ${said(props, cursor)}`}
        onKeyDown={onKeyDown} onMouseLeave={() => setCursor(-1)} onBlur={() => setCursor(-1)}
      />
      {cursor >= 0 && cursor < starts.length && <Tooltip {...props} at={cursor} />}
    </div>
  );
}

function said({ starts, series, zone, format = count }: Props, at: number): string {
  const start = starts[at];
  if (start === undefined) return `${starts.length} buckets; left and right arrows read them`;
  const values = series.filter((s) => s.counts[at]).map((s) => `${s.label} ${format(s.counts[at] ?? 0)}`);
  return `${dateClock(start, zone)}: ${values.join(', ') || 'nothing'}`;
}

function Tooltip({ starts, series, at, zone, interval, format = count, outline, kind }: Props & { at: number }) {
  const start = starts[at] ?? 0;
  const total = series.reduce((sum, s) => sum + (s.counts[at] || 0), 0);
  const place = (at + 0.5) / starts.length;
  return (
    <div class="tooltip" style={place > 0.5 ? { right: `${(1 - place) * 100}%` } : { left: `${place * 100}%` }}>
      <div class="tooltip-time">{dateClock(start, zone).replace(/\.000$/, '')} <span class="dim">+{interval >= 1_000 ? `${interval / 1_000} s` : `${interval} ms`}</span></div>
      {[...series].reverse().filter((s) => s.counts[at]).slice(0, 12).map((s) => (
        <div key={s.label} class="tooltip-row"><i class="swatch" style={{ background: s.color }} />{s.label}<b>{format(s.counts[at] ?? 0)}</b></div>
      ))}
      {kind !== 'lines' && <div class="tooltip-row total">total<b>{format(total)}</b></div>}
      {outline && <div class="tooltip-row">period before<b>{format(outline[at] ?? 0)}</b></div>}
    </div>
  );
}

function data({ starts, series, kind = 'bars', outline }: Props): uPlot.AlignedData {
  const x = starts.map((start) => start / 1_000);
  if (kind === 'lines') return [x, ...series.map((s) => s.counts.map((v) => (Number.isFinite(v) ? v : null)))] as uPlot.AlignedData;
  const top = stack(series, starts.length).at(-1) ?? starts.map(() => 0);
  return [x, starts.map((_, i) => Math.max(top[i] ?? 0, outline?.[i] ?? 0))];
}

function options(latest: { current: Props }, element: HTMLElement, setCursor: (at: number) => void): uPlot.Options {
  const { kind = 'bars', height, series, zone } = latest.current;
  const grid = () => themeColor('--line-soft');
  const ink = () => themeColor('--ink-dim');
  const font = '11px system-ui, sans-serif';
  const axis = { stroke: ink, font, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 4 } };
  return {
    width: Math.max(element.clientWidth, 50),
    height,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    tzDate: (seconds) => tzDate(seconds, zone),
    scales: {
      x: {
        time: true,
        range: () => {
          const { from, to } = shownPart(latest.current);
          return [from / 1_000, to / 1_000];
        },
      },
      y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.05 : 1] },
    },
    axes: [
      { ...axis, size: 22, space: 70, values: (_u, splits) => timeLabels(splits, zone) },
      { ...axis, size: (_u, values) => Math.max(46, ...(values ?? []).map((v) => v.length * 7 + 12)), space: 24, values: (_u, values) => values.map((v) => (latest.current.format ?? compact)(v)), ticks: { show: false } },
    ],
    cursor: {
      y: false,
      points: { show: kind === 'lines' },
      // A press during which the hand trembles is one still; what is none is told apart below.
      drag: { x: latest.current.onSelect !== undefined, y: false, setScale: false, click: () => undefined },
    },
    select: { show: true, left: 0, top: 0, width: 0, height: 0 },
    series: kind === 'lines'
      ? [{}, ...series.map((s) => ({ label: s.label, stroke: s.color, width: 1.5, points: { show: false }, spanGaps: true }))]
      : [{}, { show: true, stroke: 'transparent', points: { show: false } }],
    plugins: [
      ...(kind === 'lines' ? [] : [barsPlugin(() => ({ ...latest.current, outline: latest.current.outline, outlineColor: themeColor('--ink-dim') }))]),
      touchPlugin(() => shownPart(latest.current), () => latest.current.onSelect),
    ],
    hooks: {
      setCursor: [(u) => setCursor(bucketAt(u, latest.current))],
      setSelect: [(u) => {
        const { left, width } = u.select;
        u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        if (width < 4) return;
        const [from, to] = [u.posToVal(left, 'x'), u.posToVal(left + width, 'x')];
        latest.current.onSelect?.(from * 1_000, to * 1_000);
      }],
      ready: [(u) => {
        let pressed = { x: 0, y: 0 };
        u.over.addEventListener('mousedown', (event) => {
          pressed = { x: event.clientX, y: event.clientY };
        });
        u.over.addEventListener('click', (event) => {
          // The end of a brush is no click.
          if (Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > 3) return;
          const { onPick, series: all, starts } = latest.current;
          const bucket = bucketAt(u, latest.current);
          const value = u.posToVal(event.offsetY, 'y');
          const at = stack(all, starts.length).findIndex((tops) => (tops[bucket] ?? 0) >= value);
          if (bucket >= 0) onPick?.(at, bucket);
        });
      }],
    },
  };
}

/** What is between the plot's edges. */
function shownPart({ starts, interval, kind }: Props): Part {
  const from = starts[0] ?? 0;
  const end = (starts.at(-1) ?? 0) + (kind === 'lines' ? 0 : interval);
  return { from, to: Math.max(end, from + 1) };
}

/** The bucket under the cursor; uPlot's own index is that of the nearest start, not of the bar. */
function bucketAt(u: uPlot, { starts, interval, kind }: Props): number {
  const left = u.cursor.left ?? -1;
  if (left < 0 || !starts.length) return -1;
  if (kind === 'lines') return u.cursor.idx ?? -1;
  const at = Math.floor((u.posToVal(left, 'x') * 1_000 - (starts[0] ?? 0)) / interval);
  return at >= 0 && at < starts.length ? at : -1;
}

/** A date whose local getters give the zone's time. */
function tzDate(seconds: number, zone: Zone): Date {
  const date = new Date(seconds * 1_000);
  return zone === 'utc' ? uPlot.tzDate(date, 'Etc/UTC') : date;
}

/** Clock times, with the day where it changes. */
function timeLabels(splits: number[], zone: Zone): string[] {
  const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
  const step = (splits[1] ?? 0) - (splits[0] ?? 0);
  let day = -1;
  return splits.map((split) => {
    const date = tzDate(split, zone);
    const two = (n: number) => String(n).padStart(2, '0');
    const midnight = date.getHours() === 0 && date.getMinutes() === 0;
    const dayLabel = `${date.getDate()} ${months[date.getMonth()]}`;
    const isNewDay = day !== -1 && day !== date.getDate();
    day = date.getDate();
    if (step >= 86_400 || (midnight && step >= 3_600)) return dayLabel;
    const time = `${two(date.getHours())}:${two(date.getMinutes())}${step < 60 ? `:${two(date.getSeconds())}` : ''}`;
    return isNewDay && step >= 3_600 ? dayLabel : time;
  });
}
