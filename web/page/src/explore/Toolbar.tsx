// Above the list: how much was found, what is shown of it, and ways to take it elsewhere.

import { address, get } from '../api/client';
import { useKeys } from '../keyboard';
import { location, navigate, patched, setParams } from '../state/location';
import { chartShown, facetsShown, wrapLines } from '../state/session';
import { carried, current, over, query } from '../state/view';
import { count } from '../time/format';
import { Icon } from '../ui/icons';
import { Menu } from '../ui/Menu';
import { copy, toast } from '../ui/toast';
import { Change, Legend } from './Chart';
import { columns, earlier, histogram, isAscending, isComparing, search, view } from './data';
import { SavedSearches } from './Saved';

export function Toolbar() {
  useKeys('Views', [
    { keys: 'm', label: 'Patterns or lines', run: toggleView },
    { keys: 'f', label: 'Show or hide the filters', run: () => toggle(facetsShown) },
    { keys: 'h', label: 'Show or hide the chart', run: () => toggle(chartShown) },
    { keys: 'b', label: 'Compare with the period before', run: toggleCompare },
    { keys: 't', label: 'Tail this search', run: tail },
  ]);
  const total = search.data.value?.total;
  const shown = histogram.data.value?.total ?? total?.value;
  const before = isComparing.value ? earlier.data.value : undefined;
  return (
    <div class="toolbar">
      <button type="button" class="button quiet" aria-label="Filters" aria-pressed={facetsShown.value === 'on'} title="Filters ( f )" onClick={() => toggle(facetsShown)}><Icon name="sidebar" /></button>
      <button type="button" class="button quiet" aria-label="Chart" aria-pressed={chartShown.value === 'on'} title="Chart ( h )" onClick={() => toggle(chartShown)}><Icon name="chart" /></button>
      <span class="total" aria-live="polite">
        {shown !== undefined && <><b>{count(shown)}</b>{total?.relation === 'gte' && histogram.data.value === undefined ? '+' : ''} lines</>}
        {before && shown !== undefined && <Change now={shown} before={before.total} />}
        {search.data.value && <span class="dim small wide-only"> {search.data.value.took_ms} ms{search.data.value.timed_out && ', incomplete: the store ran out of time'}</span>}
      </span>
      <Legend />
      <span class="space" />
      <div class="switch" role="group" aria-label="Show">
        <button type="button" aria-pressed={view.value === 'lines'} onClick={() => view.value !== 'lines' && toggleView()}>Lines</button>
        <button type="button" aria-pressed={view.value === 'patterns'} title="Patterns ( m )" onClick={() => view.value !== 'patterns' && toggleView()}>Patterns</button>
      </div>
      <button type="button" class="button quiet" aria-label="Compare with the period before" aria-pressed={isComparing.value} title="Compare with the period before ( b )" onClick={toggleCompare}><Icon name="compare" /></button>
      <button type="button" class="button quiet" aria-label="Wrap long lines" aria-pressed={wrapLines.value === 'on'} title="Wrap long lines ( w )" onClick={() => toggle(wrapLines)}><Icon name="wrap" /></button>
      <SavedSearches />
      <Menu label="Export, copy" align="right" button={<><Icon name="download" /><span class="wide-only">Export</span></>}>
        {(close) => <ExportPanel close={close} />}
      </Menu>
      <button type="button" class="button" title="Follow new lines as they come ( t )" onClick={tail}><span class="live-dot" />Tail</button>
    </div>
  );
}

function toggle(value: { value: string; peek(): string }): void {
  value.value = value.peek() === 'on' ? 'off' : 'on';
}

function toggleView(): void {
  setParams({ view: view.peek() === 'patterns' ? undefined : 'patterns' });
}

function toggleCompare(): void {
  setParams({ compare: isComparing.peek() ? undefined : '1' }, true);
}

function tail(): void {
  navigate('/live', carried(['q', 'tz', 'cols']));
}

function ExportPanel({ close }: { close: () => void }) {
  const window = over(current.value);
  const fields = ['@timestamp', 'log.level', ...columns.value].join(',');
  const sort = isAscending.value ? 'asc' : undefined;
  const link = (format: string, all: boolean) => address('export', { ...window, format, sort, fields: all ? undefined : fields });
  const asCurl = () => {
    void copy(`curl -s '${globalThis.location.origin}${address('search', { ...window, size: 100, sort }).replace(/'/g, '%27')}'`, 'a curl command');
    close();
  };
  const asDsl = async (kind: 'console' | 'curl') => {
    close();
    try {
      const { index, body } = await get<{ index: string; body: unknown }>('query', window);
      const json = JSON.stringify(body, null, 2);
      if (kind === 'console') await copy(`GET /${index}/_search\n${json}`, 'the Elasticsearch query');
      else await copy(`curl -s -H 'content-type: application/json' '${globalThis.location.origin}/es/${index}/_search' -d '${json.replace(/'/g, "'\\''")}'`, 'the Elasticsearch query as curl');
    } catch (error) {
      toast(`Cannot translate the query: ${error instanceof Error ? error.message : error}`, true);
    }
  };
  const asLink = () => {
    // A link with "the last 15 minutes" would show something else tomorrow.
    const params = patched(location.peek().params, { from: window.from, to: window.to, refresh: undefined });
    void copy(`${globalThis.location.origin}/explore?${params}`, 'a link to exactly these lines');
    close();
  };
  return (
    <>
      <p class="panel-title">Download, up to 100,000 lines</p>
      <a class="item" href={link('ndjson', true)} download="tailrace.ndjson" onClick={close}>NDJSON, whole documents</a>
      <a class="item" href={link('csv', false)} download="tailrace.csv" onClick={close}>CSV, the columns shown</a>
      <p class="panel-title">Copy</p>
      <button type="button" class="item" onClick={asLink}>Link with the time fixed</button>
      <button type="button" class="item" onClick={asCurl}>As curl</button>
      <button type="button" class="item" onClick={() => asDsl('console')}>As Elasticsearch query</button>
      <button type="button" class="item" onClick={() => asDsl('curl')}>As Elasticsearch query in curl</button>
      {query.value && <button type="button" class="item" onClick={() => { void copy(query.peek(), 'the search'); close(); }}>The search itself</button>}
    </>
  );
}
