// Explore's list of lines.

import { useRef } from 'preact/hooks';
import { ColumnHead } from '../list/Columns';
import { Detail, openContext } from '../list/Detail';
import { gridTemplate, Line, plainLine, timeOf } from '../list/Line';
import { VirtualList, type ListHandle } from '../list/VirtualList';
import { searchedWords } from '../query/tokens';
import { useKeys } from '../keyboard';
import { wrapLines } from '../state/session';
import { query, range, zone } from '../state/view';
import { levelOf, text } from '../text/document';
import { count } from '../time/format';
import { columns, hits, isAscending, isComplete, isLoadingMore, isPendingCut, keyOf, loadMore, opened, pending, search, selected, showPending, toggleOpen } from './data';
import { NothingFound } from './NothingFound';

const ROW_PX = 22;

export function Lines() {
  const handle = useRef<ListHandle | undefined>(undefined);
  const scroller = useRef<HTMLDivElement>(null);
  const select = (index: number) => {
    if (!hits.peek().length) return false;
    const at = Math.min(Math.max(index, 0), hits.peek().length - 1);
    selected.value = at;
    handle.current?.reveal(at);
    // The row exists only after the list has scrolled to it.
    requestAnimationFrame(() => scroller.current?.querySelector<HTMLElement>(`[data-index="${at}"]`)?.focus({ preventScroll: true }));
    return true;
  };
  const jumpToError = async (step: 1 | -1) => {
    for (let at = selected.peek() + step; ; at += step) {
      if (at < 0) return;
      const hit = hits.peek()[at];
      if (!hit) {
        // The next error may be on a page that has not been fetched.
        const had = hits.peek().length;
        await loadMore();
        if (hits.peek().length === had) return;
        at -= step;
        continue;
      }
      if (/^(error|fatal)$/.test(levelOf(text(hit.source, 'log.level')))) {
        select(at);
        return;
      }
    }
  };
  const show = () => {
    showPending();
    handle.current?.toStart();
  };
  const chosen = () => hits.peek()[selected.peek()];
  useKeys('Lines', [
    { keys: 'j / ArrowDown', label: 'Next line', run: () => select(selected.peek() + 1) },
    { keys: 'k / ArrowUp', label: 'Line before', run: () => select(selected.peek() - 1) },
    { keys: 'Enter / o', label: 'Open or close the line', run: () => { const hit = chosen(); return hit ? toggleOpen(hit) : false; } },
    { keys: 'e', label: 'Next error', run: () => jumpToError(1) },
    { keys: 'E', label: 'Error before', run: () => jumpToError(-1) },
    { keys: 'c', label: 'Context: the lines around', run: () => { const hit = chosen(); return hit ? openContext(hit) : false; } },
    { keys: 'n', label: 'Show new lines', run: show },
    { keys: 'w', label: 'Wrap long lines', run: () => { wrapLines.value = wrapLines.peek() === 'on' ? 'off' : 'on'; } },
    { keys: 'Home', label: 'First line', run: () => select(0) },
    { keys: 'End', label: 'Last line fetched', run: () => select(hits.peek().length - 1) },
    { keys: 'Escape', label: 'Close opened lines', run: () => { if (!opened.peek().size) return false; opened.value = new Set(); } },
  ]);
  const list = hits.value;
  const newest = list[0];
  const oldest = list.at(-1);
  const withDate = newest !== undefined && oldest !== undefined && (spansDays(timeOf(newest.source), timeOf(oldest.source)) || range.value.to !== 'now');
  const template = gridTemplate(columns.value, withDate);
  const words = searchedWords(query.value);
  const n = list.length;
  const total = search.data.value?.total.value ?? n;
  if (!n && search.data.value) return <NothingFound />;
  return (
    <div class={wrapLines.value === 'on' ? 'lines wrapped' : 'lines'}>
      {pending.value.length > 0 && (
        <button type="button" class="pill" onClick={show}>
          ↑ {count(pending.value.length)}{isPendingCut.value ? '+' : ''} new {pending.value.length === 1 ? 'line' : 'lines'}
        </button>
      )}
      <VirtualList
        items={list} keyOf={keyOf} estimate={ROW_PX} handle={handle} scroller={scroller}
        onNearEnd={() => void loadMore()}
        label="Lines" attributes={{ role: 'feed', 'aria-busy': search.loading.value }}
        head={<ColumnHead columns={columns.value} template={template} />}
        rowAttributes={(hit, index) => ({
          class: `row${index === selected.value ? ' selected' : ''}${opened.value.has(keyOf(hit)) ? ' open' : ''}`,
          role: 'article', tabIndex: -1, 'aria-posinset': index + 1, 'aria-setsize': total, 'aria-label': plainLine(hit.source, zone.value).slice(0, 300),
        })}
        render={(hit, index) => (
          <>
            <div class="line" style={{ gridTemplateColumns: template }} onClick={() => press(hit, index)}>
              <Line source={hit.source} columns={columns.value} zone={zone.value} withDate={withDate} words={words} />
            </div>
            {opened.value.has(keyOf(hit)) && <Detail hit={hit} canFilter />}
          </>
        )}
        foot={n > 0 && (
          <p class="list-end dim">
            {isLoadingMore.value ? 'Fetching more…' : isComplete() ? `${isAscending.value ? 'Newest' : 'Oldest'} line of the range` : `${count(n)} of ${count(total)} lines; scroll for more`}
          </p>
        )}
      />
    </div>
  );
}

function press(hit: Parameters<typeof toggleOpen>[0], index: number): void {
  // Marking text with the mouse is not a press.
  if (String(getSelection() ?? '')) return;
  selected.value = index;
  toggleOpen(hit);
}

function spansDays(a: number, b: number): boolean {
  return Math.abs(a - b) > 86_400_000 || new Date(a).getDate() !== new Date(b).getDate();
}
