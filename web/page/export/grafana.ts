// The dashboards for Grafana, over its Elasticsearch data source (which also reads Tailrace's own
// `/es/`). The types are Grafana's: what its schema does not know does not compile.

import type { Dashboard as Grafana, Panel as GrafanaPanel, VariableModel } from '@grafana/schema';
import type { Dashboard, Panel, TopPanel, Unit } from '../src/dashboards/model.ts';
import { lucene } from './lucene.ts';

const ELASTIC = { type: 'elasticsearch', uid: '${elasticsearch}' };
const PROMETHEUS = { type: 'prometheus', uid: '${prometheus}' };
const EXPRESSION = { type: '__expr__', uid: '__expr__' };
const UNITS: Record<Unit, string> = { count: 'short', bytes: 'bytes', ns: 'ns', ms: 'ms', percent: 'percentunit', plain: 'none' };
/** Grafana's grid has 24 columns. */
const COLUMNS = 2;

type Target = Record<string, unknown>;
type Body = Omit<GrafanaPanel, 'id' | 'gridPos' | 'title'>;

function metric(spec: string, id: string): Target {
  const [kind = '', field] = spec.split(':');
  if (kind === 'count') return { id, type: 'count' };
  const percentile = /^p(\d+)$/.exec(kind);
  if (percentile) return { id, type: 'percentiles', field, settings: { percents: [percentile[1]] } };
  return { id, type: kind === 'unique' ? 'cardinality' : kind, field };
}

const OVER_TIME = { id: '2', type: 'date_histogram', field: '@timestamp', settings: { interval: 'auto', min_doc_count: '0' } };

function terms(field: string, id: string, size: number, orderBy = '1'): Target {
  return { id, type: 'terms', field, settings: { size: String(size), order: 'desc', orderBy: orderBy === '1' ? '_count' : orderBy, min_doc_count: '1' } };
}

function target(refId: string, q: string, metrics: Target[], bucketAggs: Target[], more: Target = {}): Target {
  return { refId, datasource: ELASTIC, query: lucene(q), timeField: '@timestamp', metrics, bucketAggs, ...more };
}

function stat(targets: Target[], unit: Unit, calc: string): Body {
  return {
    type: 'stat', datasource: ELASTIC, targets,
    fieldConfig: { defaults: { unit: UNITS[unit] }, overrides: [] },
    options: { colorMode: 'none', graphMode: 'none', justifyMode: 'auto', reduceOptions: { calcs: [calc], fields: '', values: false }, textMode: 'value' },
  };
}

/** Bars stacked, or lines. */
function series(targets: Target[], kind: 'bars' | 'lines', unit: Unit, datasource = ELASTIC): Body {
  return {
    type: 'timeseries', datasource, targets,
    fieldConfig: { defaults: { unit: UNITS[unit], custom: { drawStyle: kind, fillOpacity: kind === 'bars' ? 80 : 0, lineWidth: kind === 'bars' ? 0 : 2, stacking: { mode: kind === 'bars' ? 'normal' : 'none', group: 'A' } } }, overrides: [] },
    options: { legend: { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] }, tooltip: { mode: 'multi', sort: 'desc' } },
  };
}

function table(panel: TopPanel): Body {
  const metrics = [metric('count', '1'), ...(panel.metrics ?? []).map((spec, i) => metric(spec, String(10 + i))), ...(panel.sample ? [metric('min:@timestamp', '20'), metric('max:@timestamp', '21')] : [])];
  const order = panel.order && panel.order !== 'count' ? String(10 + (panel.metrics ?? []).indexOf(panel.order)) : '1';
  const overrides = (panel.units ?? []).map((unit, i) => ({ matcher: { id: 'byIndex', options: panel.by.split(',').length + 1 + i }, properties: [{ id: 'unit', value: UNITS[unit] }] }));
  return {
    type: 'table', datasource: ELASTIC,
    targets: [target('A', panel.q ?? '', metrics, panel.by.split(',').map((field, i) => terms(field, String(2 + i), panel.size ?? 10, order)))],
    fieldConfig: { defaults: { custom: { align: 'auto' } }, overrides }, options: { showHeader: true },
  };
}

function counters(names: [string, string][]): Body {
  return series(names.map(([expr, legendFormat], i) => ({ refId: String.fromCharCode(65 + i), datasource: PROMETHEUS, expr, legendFormat })), 'lines', 'count', PROMETHEUS);
}

function body(panel: Panel): Body {
  switch (panel.type) {
    case 'figure': {
      if (panel.of === undefined) return stat([target('A', panel.q ?? '', [metric(panel.metric, '1')], [{ ...OVER_TIME, settings: { interval: '36500d', min_doc_count: '1' } }])], panel.unit ?? 'count', 'lastNotNull');
      const sum = (refId: string, expression: string) => ({ refId, datasource: EXPRESSION, type: 'reduce', reducer: 'sum', expression, hide: true });
      return stat([
        target('A', panel.q ?? '', [metric('count', '1')], [OVER_TIME], { hide: true }), target('B', panel.of, [metric('count', '1')], [OVER_TIME], { hide: true }),
        sum('C', 'A'), sum('D', 'B'), { refId: 'E', datasource: EXPRESSION, type: 'math', expression: '$C / $D' },
      ], 'percent', 'lastNotNull');
    }
    case 'timeline':
      if (panel.splits) return series(panel.splits.map((s, i) => target(String.fromCharCode(65 + i), s.q, [metric('count', '1')], [OVER_TIME], { alias: s.label })), 'bars', 'count');
      return series([target('A', panel.q ?? '', [metric('count', '1')], [...(panel.by ? [terms(panel.by, '3', 8)] : []), OVER_TIME])], 'bars', 'count');
    case 'lines':
      return series([target('A', panel.q ?? '', panel.metrics.map((spec, i) => metric(spec, String(i ? 10 + i : 1))), [...(panel.by ? [terms(panel.by, '3', 8)] : []), OVER_TIME])], 'lines', panel.unit ?? 'count');
    case 'donut':
      return {
        type: 'piechart', datasource: ELASTIC, targets: [target('A', panel.q ?? '', [metric('count', '1')], [terms(panel.by, '2', 7)])],
        fieldConfig: { defaults: { unit: 'short' }, overrides: [] },
        options: { pieType: 'donut', legend: { displayMode: 'table', placement: 'right', showLegend: true, values: ['percent'] }, reduceOptions: { calcs: [], fields: '', values: true } },
      };
    case 'top':
      return table(panel);
    case 'newest':
      return { type: 'logs', datasource: ELASTIC, targets: [target('A', panel.q ?? '', [{ id: '1', type: 'logs', settings: { limit: String(panel.size ?? 50) } }], [])], options: { showTime: true, wrapLogMessage: false, enableLogDetails: true, sortOrder: 'Descending', dedupStrategy: 'none' } };
    case 'rules':
      return table({ type: 'top', title: panel.title, width: panel.width, by: 'tailrace.rule' });
    case 'streams':
      return table({ type: 'top', title: panel.title, width: panel.width, by: 'kubernetes.namespace,kubernetes.pod.name', metrics: ['max:@timestamp'] });
    case 'lag':
      return { ...stat([{ refId: 'A', datasource: PROMETHEUS, expr: 'max(agent_lag_seconds)' }], 'count', 'lastNotNull'), datasource: PROMETHEUS, fieldConfig: { defaults: { unit: 's' }, overrides: [] } };
    case 'outputs':
      return counters([['sum(rate(store_docs_retried_total[5m]))', 'retried'], ['sum(rate(store_docs_mended_total[5m]))', 'mended'], ['sum(rate(store_docs_dead_lettered_total[5m]))', 'dead letters'], ['sum(rate(store_docs_parked_total[5m]))', 'parked'], ['sum(tailrace_buffer_undelivered_bytes) / sum(tailrace_buffer_max_bytes)', 'share of the buffer in use']]);
    case 'throughput':
      return counters([['sum(rate(tailrace_records_total[1m]))', 'records received'], ['sum(rate(store_docs_indexed_total[1m]))', 'documents indexed']]);
  }
}

function variables(usesPrometheus: boolean): VariableModel[] {
  const one = (name: string, label: string): VariableModel => ({ name, label, type: 'datasource', query: name, refresh: 1, hide: 0, multi: false, includeAll: false });
  return [one('elasticsearch', 'Logs'), ...(usesPrometheus ? [one('prometheus', 'Metrics')] : [])];
}

/** One dashboard, for "Import" under Dashboards, or for provisioning. */
export function grafana(name: string, dashboard: Dashboard): Grafana {
  let [x, y, rowHeight] = [0, 0, 0];
  const panels = dashboard.panels.map((panel, i): GrafanaPanel => {
    const w = panel.width * COLUMNS;
    const h = panel.type === 'figure' || panel.type === 'lag' ? 4 : panel.type === 'newest' ? 10 : 8;
    if (x + w > 24) [x, y, rowHeight] = [0, y + rowHeight, 0];
    const gridPos = { x, y, w, h };
    x += w;
    rowHeight = Math.max(rowHeight, h);
    return { id: i + 1, title: panel.title, gridPos, ...body(panel) };
  });
  const usesPrometheus = dashboard.panels.some((p) => p.type === 'lag' || p.type === 'outputs' || p.type === 'throughput');
  return {
    uid: `tailrace-${name}`, title: `Tailrace / ${dashboard.title}`, description: dashboard.description ?? '', tags: ['tailrace', 'logs'],
    schemaVersion: 39, version: 1, editable: true, graphTooltip: 1, timezone: 'browser', refresh: '30s',
    time: { from: dashboard.from ?? 'now-1h', to: 'now' }, templating: { list: variables(usesPrometheus) }, annotations: { list: [] }, links: [], panels,
  };
}
