// Live: lines as they are received, the newest at the foot, like `tail -f` over the whole cluster.

import { signal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { ContextDrawer } from '../explore/ContextDrawer';
import { columns } from '../explore/data';
import { useKeys } from '../keyboard';
import { Detail, openContext } from '../list/Detail';
import { gridTemplate, Line, plainLine } from '../list/Line';
import { VirtualList, type ListHandle } from '../list/VirtualList';
import { SearchBox } from '../query/SearchBox';
import { searchedWords } from '../query/tokens';
import { navigate, param } from '../state/location';
import { wrapLines } from '../state/session';
import { carried, query, setQuery, zone } from '../state/view';
import { levelOf, text } from '../text/document';
import { compact, count } from '../time/format';
import { toggleZone } from '../time/TimePicker';
import { Icon } from '../ui/icons';
import { Empty, Failure } from '../ui/Notice';
import { clear, connection, freeze, isFrozen, problem, shown, startLive, stats, thaw, waiting, type Item } from './data';

const ROW_PX = 22;
/** A scroll this soon after a wheel, touch or key is the user's; any other is ours. */
const USER_SCROLL_MS = 700;

const opened = signal<ReadonlySet<number>>(new Set());
const selected = signal(-1);

export function Live() {
  const handle = useRef<ListHandle | undefined>(undefined);
  const scroller = useRef<HTMLDivElement>(null);
  const touched = useRef(0);
  useEffect(() => {
    opened.value = new Set();
    selected.value = -1;
    return startLive();
  }, []);
  const list = shown.value;
  useLayoutEffect(() => {
    if (!isFrozen.peek()) handle.current?.toEnd();
  }, [list]);

  const select = (key: number) => {
    freeze();
    const index = shown.peek().findIndex((item) => item.key === key);
    if (index < 0) return;
    selected.value = key;
    handle.current?.reveal(index);
    requestAnimationFrame(() => scroller.current?.querySelector<HTMLElement>(`[data-index="${index}"]`)?.focus({ preventScroll: true }));
  };
  const step = (by: number, wanted: (item: Item) => boolean = (item) => item.hit !== undefined) => {
    const all = shown.peek();
    let at = all.findIndex((item) => item.key === selected.peek());
    if (at < 0) at = all.length;
    for (at += by; at >= 0 && at < all.length; at += by) {
      const item = all[at];
      if (item && wanted(item)) return select(item.key);
    }
  };
  const isError = (item: Item) => item.hit !== undefined && /^(error|fatal)$/.test(levelOf(text(item.hit.source, 'log.level')));
  const chosen = () => shown.peek().find((item) => item.key === selected.peek());
  const toEnd = () => {
    thaw();
    opened.value = new Set();
    selected.value = -1;
  };
  const pause = () => (isFrozen.peek() ? toEnd() : freeze());
  useKeys('Live', [
    { keys: ' ', label: 'Pause, go on', run: pause },
    { keys: 'j / ArrowDown', label: 'Next line', run: () => step(1) },
    { keys: 'k / ArrowUp', label: 'Line before (pauses)', run: () => step(-1) },
    { keys: 'Enter / o', label: 'Open or close the line', run: () => { const item = chosen(); return item ? toggle(item) : false; } },
    { keys: 'e', label: 'Error before (pauses)', run: () => step(-1, isError) },
    { keys: 'c', label: 'Context: the lines around', run: () => { const item = chosen(); return item?.hit ? openContext(item.hit) : false; } },
    { keys: 'n / End', label: 'To the newest line', run: toEnd },
    { keys: 'x', label: 'Clear', run: clear },
    { keys: 'w', label: 'Wrap long lines', run: () => { wrapLines.value = wrapLines.peek() === 'on' ? 'off' : 'on'; } },
    { keys: 't', label: 'To Explore', run: explore },
    { keys: 'u', label: 'UTC or local time', run: toggleZone },
  ]);
  const onScroll = () => {
    if (performance.now() - touched.current > USER_SCROLL_MS) return;
    if (!handle.current?.isAtEnd()) freeze();
    else if (isFrozen.peek() && !waiting.peek() && !opened.peek().size) thaw();
  };
  const touch = () => {
    touched.current = performance.now();
  };
  const template = gridTemplate(columns.value, false);
  const words = searchedWords(query.value);
  const wrong = problem.value?.status === 400 ? problem.value : undefined;
  return (
    <main class="live" id="main">
      <h1 class="offscreen">Live</h1>
      <div class="ask">
        <SearchBox value={query.value} onSubmit={setQuery} problem={wrong} placeholder="Filter: level:error service:checkout   ( / )" />
      </div>
      <div class="toolbar">
        <button type="button" class="button" aria-pressed={isFrozen.value} title="Space" onClick={pause}>
          <Icon name={isFrozen.value ? 'play' : 'pause'} />{isFrozen.value ? 'Go on' : 'Pause'}
        </button>
        <span class={`connection ${connection.value}`} role="status">{said()}</span>
        <span class="space" />
        <button type="button" class="button quiet" aria-label="Wrap long lines" aria-pressed={wrapLines.value === 'on'} title="Wrap ( w )" onClick={() => { wrapLines.value = wrapLines.value === 'on' ? 'off' : 'on'; }}><Icon name="wrap" /></button>
        <button type="button" class="button" title="Zone of times ( u )" onClick={toggleZone}>{zone.value === 'utc' ? 'UTC' : 'Local'}</button>
        <button type="button" class="button" title="Clear ( x )" onClick={clear}>Clear</button>
        <button type="button" class="button" title="Search these lines ( t )" onClick={explore}>Explore</button>
      </div>
      {connection.value === 'refused' && !wrong && problem.value && <Failure problem={problem.value} retry={() => window.location.reload()} />}
      <div class={wrapLines.value === 'on' ? 'lines wrapped' : 'lines'} onWheel={touch} onTouchMove={touch} onKeyDown={touch} onPointerDown={touch}>
        {!list.length && connection.value === 'open' && (
          <Empty title="Waiting for lines">
            <p>{query.value ? <>None has matched <code>{query.value}</code> yet. Lines show here within a second of their arrival.</> : 'Nothing arrives at this aggregator at the moment.'}</p>
          </Empty>
        )}
        {isFrozen.value && waiting.value > 0 && (
          <button type="button" class="pill foot" onClick={toEnd}>↓ {count(waiting.value)} new {waiting.value === 1 ? 'line' : 'lines'}</button>
        )}
        <VirtualList
          items={list} keyOf={(item) => String(item.key)} estimate={ROW_PX} handle={handle} scroller={scroller} onScroll={onScroll}
          label="Lines as they come" attributes={{ role: 'feed', 'aria-busy': !isFrozen.value }}
          rowAttributes={(item, index) => ({
            class: `row${item.key === selected.value ? ' selected' : ''}${opened.value.has(item.key) ? ' open' : ''}`, role: 'article', tabIndex: -1,
            'aria-posinset': index + 1, 'aria-setsize': -1, 'aria-label': item.hit ? plainLine(item.hit.source, zone.value).slice(0, 300) : item.note,
          })}
          render={(item) => (item.hit
            ? (
              <>
                <div class="line" style={{ gridTemplateColumns: template }} onClick={() => press(item)}>
                  <Line source={item.hit.source} columns={columns.value} zone={zone.value} withDate={false} words={words} />
                </div>
                {opened.value.has(item.key) && <Detail hit={item.hit} canFilter />}
              </>
            )
            : <p class="note">{item.note}</p>)}
        />
      </div>
      {param('context') && <ContextDrawer />}
    </main>
  );
}

function press(item: Item): void {
  if (String(getSelection() ?? '')) return;
  // What one reads must stay where it is.
  freeze();
  selected.value = item.key;
  toggle(item);
}

function toggle(item: Item): void {
  const next = new Set(opened.peek());
  if (!next.delete(item.key)) next.add(item.key);
  opened.value = next;
}

function explore(): void {
  navigate('/explore', carried(['q', 'tz', 'cols']));
}

/** The state of the connection, and what is left out. */
function said(): string {
  if (connection.value === 'connecting') return 'Connecting…';
  if (connection.value === 'lost') return 'Connection lost, trying again…';
  if (connection.value === 'refused') return 'Not connected';
  const s = stats.value;
  if (!s) return 'Connected';
  const rate = `${compact(s.matched)} ${s.matched === 1 ? 'line' : 'lines'} a second`;
  if (!s.sampled) return rate;
  return `${rate}; showing ${compact(s.sent)} of them (sampled: more than the page follows)`;
}
