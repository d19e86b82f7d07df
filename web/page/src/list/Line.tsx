// One line of log as one row: time, level, columns. Used by Explore, Live, context and panels.

import { ansiSegments, hasAnsi, stripAnsi } from '../text/ansi';
import { field, levelOf, text, type Source } from '../text/document';
import { clock, dateClock } from '../time/format';
import type { Zone } from '../time/range';

/** Longer messages are cut in a row (not when opened): layout of a megabyte takes seconds. */
const SHOWN_CHARACTERS = 2_000;
const SHOWN_ATTRIBUTES = 6;

interface Props {
  source: Source;
  columns: string[];
  zone: Zone;
  /** Whether the day is shown beside the time. */
  withDate: boolean;
  /** Words to mark in the message. */
  words: string[];
}

export function timeOf(source: Source): number {
  return Date.parse(text(source, '@timestamp'));
}

export function Line({ source, columns, zone, withDate, words }: Props) {
  const at = timeOf(source);
  const raw = text(source, 'log.level');
  const level = levelOf(raw);
  return (
    <>
      <span class={`edge level-${level}`} />
      <time class="cell time" dateTime={text(source, '@timestamp')}>{Number.isFinite(at) ? (withDate ? dateClock(at, zone) : clock(at, zone)) : '–'}</time>
      <span class={`cell level text-${level}`}>{raw || '–'}</span>
      {columns.map((name) => (name === 'message'
        ? <span key={name} class="cell message"><Message source={source} words={words} columns={columns} /></span>
        : <span key={name} class="cell" title={text(source, name)}>{text(source, name) || <span class="faint">–</span>}</span>))}
    </>
  );
}

/** The message, with what else the program said in brief after it. */
function Message({ source, words, columns }: { source: Source; words: string[]; columns: string[] }) {
  const message = text(source, 'message').slice(0, SHOWN_CHARACTERS);
  const attributes = field(source, 'attributes');
  const trace = field(source, 'error.stack_trace');
  // A line of `key=value` pairs says them itself.
  const extra = attributes !== null && typeof attributes === 'object'
    ? Object.entries(attributes).filter(([name, value]) => typeof value !== 'object' && !message.includes(`${name}=`) && !columns.includes(`attributes.${name}`)).slice(0, SHOWN_ATTRIBUTES)
    : [];
  return (
    <>
      {hasAnsi(message) ? ansiSegments(message).map((s, i) => <span key={i} class={s.style}>{mark(s.text, words)}</span>) : mark(message, words)}
      {extra.map(([name, value]) => <span key={name} class="extra"> {name}=<b>{String(value).slice(0, 80)}</b></span>)}
      {typeof trace === 'string' && !message.includes('\n') && <span class="tag">trace</span>}
    </>
  );
}

/** The text with the searched words marked. */
export function mark(content: string, words: string[]) {
  if (!words.length) return content;
  const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const pieces = content.split(new RegExp(`(${escaped.join('|')})`, 'gi'));
  // Every second piece is what the expression caught.
  return pieces.map((piece, i) => (i % 2 ? <mark key={i}>{piece}</mark> : piece));
}

/** What a screen reader says of the row, and what is copied of it. */
export function plainLine(source: Source, zone: Zone): string {
  const service = text(source, 'service.name') || text(source, 'kubernetes.container.name');
  return [clock(timeOf(source), zone), text(source, 'log.level'), service, stripAnsi(text(source, 'message'))].filter(Boolean).join(' ');
}

/** Widths of the columns: the message takes what is left. */
export function gridTemplate(columns: string[], withDate: boolean): string {
  const widths = columns.map((name) => (name === 'message' ? 'minmax(28ch, 1fr)' : 'minmax(8ch, 16ch)'));
  return ['4px', withDate ? '20ch' : '13ch', '6ch', ...widths].join(' ');
}
