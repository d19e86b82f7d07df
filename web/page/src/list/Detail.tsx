// An opened line: everything it holds, and what can be done with it.

import { useState } from 'preact/hooks';
import type { Hit } from '../api/types';
import { shortName, toggleColumn } from '../explore/Facets';
import { columns } from '../explore/data';
import { toggleFilter } from '../query/tokens';
import { location, navigate, patched, setParams } from '../state/location';
import { query, setQuery, zone } from '../state/view';
import { ansiSegments, hasAnsi, stripAnsi } from '../text/ansi';
import { display, flatten, jsonParts, links, parseJson, text, type Source } from '../text/document';
import { foldLabel, foldTrace, isTrace } from '../text/stack';
import { fullTime } from '../time/format';
import { absolute } from '../time/range';
import { Icon } from '../ui/icons';
import { copy } from '../ui/toast';
import { plainLine, timeOf } from './Line';

/** How far around a line the others of its request are looked for. */
const REQUEST_SPAN_MS = 30 * 60_000;

interface Props {
  hit: Hit;
  /** Filters and columns are offered only where there is a list to filter. */
  canFilter: boolean;
}

export function Detail({ hit, canFilter }: Props) {
  const { source } = hit;
  const [asJson, setAsJson] = useState(false);
  return (
    <div class="detail" onClick={(event) => event.stopPropagation()}>
      <div class="detail-bar">
        {hit.id && <button type="button" class="button" onClick={() => openContext(hit)}><Icon name="context" />Context</button>}
        {links(source).map((link) => (
          <button type="button" class="button" key={link.field} title={`${link.field}: ${link.value}`} onClick={() => follow(source, link.field, link.value)}>
            <Icon name="link" />Same {link.label}
          </button>
        ))}
        <span class="space" />
        <button type="button" class="button" aria-pressed={asJson} onClick={() => setAsJson(!asJson)}>View {asJson ? 'fields' : 'JSON'}</button>
        <button type="button" class="button" onClick={() => copy(JSON.stringify(source, null, 2), 'the document')}><Icon name="copy" />Copy JSON</button>
        <button type="button" class="button" onClick={() => copy(plainLine(source, zone.peek()), 'the line')}><Icon name="copy" />Copy line</button>
        {hit.id && <button type="button" class="button" onClick={() => copy(permalink(hit), 'a link to this line')}><Icon name="link" />Copy link</button>}
      </div>
      {asJson ? <Json value={source} /> : <><Text source={source} /><Fields source={source} canFilter={canFilter} /></>}
    </div>
  );
}

/** Shows the lines around this one; the address says which. */
export function openContext(hit: Hit): void {
  setParams({ context: `${hit.index}~${hit.id}` });
}

function permalink(hit: Hit): string {
  const params = patched(location.peek().params, { context: `${hit.index}~${hit.id}`, refresh: undefined });
  return `${window.location.origin}/explore?${params}`;
}

/** All lines that share an id, around the time of this one. */
function follow(source: Source, name: string, value: string): void {
  const at = timeOf(source);
  const range = absolute(at - REQUEST_SPAN_MS, at + REQUEST_SPAN_MS);
  const q = toggleFilter('', name === 'trace.id' ? 'trace' : name, value, false);
  navigate('/explore', patched(location.peek().params, { q, from: range.from, to: range.to, context: undefined, open: undefined, refresh: undefined, sort: name === 'error.fingerprint' ? undefined : 'asc' }));
}

/** Message and stack trace as they were written. */
function Text({ source }: { source: Source }) {
  const message = text(source, 'message');
  const trace = text(source, 'error.stack_trace');
  const json = parseJson(stripAnsi(message));
  return (
    <div class="detail-text">
      {message && (json !== undefined ? <Json value={json} /> : isTrace(message) ? <Trace content={message} /> : <pre class="raw">{styled(message)}</pre>)}
      {trace && trace !== message && <Trace content={trace} />}
    </div>
  );
}

export function styled(content: string) {
  return hasAnsi(content) ? ansiSegments(content).map((s, i) => <span key={i} class={s.style}>{s.text}</span>) : content;
}

export function Trace({ content }: { content: string }) {
  const [opened, setOpened] = useState<ReadonlySet<number>>(new Set());
  const blocks = foldTrace(content);
  const folds = blocks.filter((b) => b.kind === 'library').length;
  const toggle = (i: number) => {
    const next = new Set(opened);
    if (!next.delete(i)) next.add(i);
    setOpened(next);
  };
  return (
    <div class="trace">
      <div class="trace-bar">
        {folds > 0 && <button type="button" class="button quiet" onClick={() => setOpened(opened.size ? new Set() : new Set(blocks.keys()))}>{opened.size ? 'Fold' : 'Unfold'} libraries</button>}
        <button type="button" class="button quiet" aria-label="Copy the stack trace" onClick={() => copy(stripAnsi(content), 'the stack trace')}><Icon name="copy" /></button>
      </div>
      <pre class="raw">
        {blocks.map((block, i) => (block.kind === 'library' && !opened.has(i)
          ? <button type="button" key={i} class="fold" aria-expanded={false} onClick={() => toggle(i)}>⋯ {foldLabel(block.lines)}</button>
          : <span key={i} class={`frames ${block.kind}`}>{styled(block.lines.join('\n'))}{'\n'}</span>))}
      </pre>
    </div>
  );
}

export function Json({ value }: { value: unknown }) {
  return <pre class="raw json">{jsonParts(value).map((part, i) => <span key={i} class={`json-${part.kind}`}>{part.text}</span>)}</pre>;
}

function Fields({ source, canFilter }: { source: Source; canFilter: boolean }) {
  const all = flatten(source).filter(([name]) => name !== 'message' && name !== 'error.stack_trace');
  return (
    <table class="fields">
      <caption class="offscreen">Fields of this line</caption>
      <tbody>
        {all.map(([name, value]) => {
          const shown = name === '@timestamp' ? fullTime(display(value), zone.value) : display(value);
          const filterable = canFilter && name !== '@timestamp' && (typeof value !== 'object' || Array.isArray(value)) && shown.length < 512;
          const short = shortName(name);
          const first = display(Array.isArray(value) ? value[0] : value);
          return (
            <tr key={name}>
              <td class="acts">
                {filterable && <button type="button" class="act" aria-label={`Only ${short} ${first}`} title="Only this value" onClick={() => setQuery(toggleFilter(query.peek(), short, first, false))}><Icon name="plus" /></button>}
                {filterable && <button type="button" class="act" aria-label={`Not ${short} ${first}`} title="Leave this value out" onClick={() => setQuery(toggleFilter(query.peek(), short, first, true))}><Icon name="minus" /></button>}
                {canFilter && <button type="button" class="act" aria-label={`${name} as a column`} aria-pressed={columns.value.includes(name)} title="Show as a column" onClick={() => toggleColumn(name)}><Icon name="columns" /></button>}
                <button type="button" class="act" aria-label={`Copy ${name}`} title="Copy the value" onClick={() => copy(display(value), name)}><Icon name="copy" /></button>
              </td>
              <th scope="row">{name}</th>
              <td class="v">{shown}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

