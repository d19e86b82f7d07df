// The dashboards as saved objects of Kibana (7.10 and newer) and OpenSearch Dashboards: both read
// this form, and Kibana brings it to its own of the day when it imports it.

import type { Dashboard, Panel, TopPanel } from '../src/dashboards/model.ts';
import { lucene } from './lucene.ts';

const INDEX_ID = 'tailrace-logs';
const INDEX = 'logs-*';
const INDEX_REF = 'kibanaSavedObjectMeta.searchSourceJSON.index';
/** Kibana's grid has 48 columns; a row is 20 pixels. */
const COLUMNS = 4;
const HEIGHT: Partial<Record<Panel['type'], number>> = { figure: 7, newest: 16 };

type Json = Record<string, unknown>;

interface SavedObject {
  id: string;
  type: string;
  attributes: Json;
  references: { name: string; type: string; id: string }[];
  migrationVersion: Record<string, string>;
}

const COUNT = { id: '1', enabled: true, type: 'count', schema: 'metric', params: {} };

function metric(spec: string, id: string, label?: string): Json {
  const [kind = '', field] = spec.split(':');
  const custom = label ? { customLabel: label } : {};
  if (kind === 'count') return { ...COUNT, id };
  const percentile = /^p(\d+)$/.exec(kind);
  const type = percentile ? 'percentiles' : kind === 'unique' ? 'cardinality' : kind;
  return { id, enabled: true, type, schema: 'metric', params: { field, ...(percentile && { percents: [Number(percentile[1])] }), ...custom } };
}

function terms(field: string, id: string, schema: string, size: number, orderBy = '1'): Json {
  return {
    id, enabled: true, type: 'terms', schema,
    params: { field, orderBy, order: 'desc', size, otherBucket: schema !== 'bucket', otherBucketLabel: 'other', missingBucket: false, missingBucketLabel: 'none' },
  };
}

const OVER_TIME = { id: '2', enabled: true, type: 'date_histogram', schema: 'segment', params: { field: '@timestamp', useNormalizedEsInterval: true, interval: 'auto', drop_partials: false, min_doc_count: 1, extended_bounds: {} } };

/** Axes and series that bars and lines share. */
function axes(type: 'histogram' | 'line', metrics: { id: string; label: string }[]): Json {
  return {
    type, addTooltip: true, addLegend: true, legendPosition: 'right', times: [], addTimeMarker: false, grid: { categoryLines: false },
    categoryAxes: [{ id: 'CategoryAxis-1', type: 'category', position: 'bottom', show: true, style: {}, scale: { type: 'linear' }, labels: { show: true, filter: true, truncate: 100 }, title: {} }],
    valueAxes: [{ id: 'ValueAxis-1', name: 'LeftAxis-1', type: 'value', position: 'left', show: true, style: {}, scale: { type: 'linear', mode: 'normal' }, labels: { show: true, rotate: 0, filter: false, truncate: 100 }, title: { text: '' } }],
    seriesParams: metrics.map((data) => ({ show: true, type, mode: type === 'line' ? 'normal' : 'stacked', data, valueAxis: 'ValueAxis-1', drawLinesBetweenPoints: true, lineWidth: 2, showCircles: type !== 'line' })),
  };
}

/** The panel's `visState`, or nothing for what only Tailrace's own page can show. */
function visState(panel: Panel): { type: string; params: Json; aggs: Json[] } | undefined {
  switch (panel.type) {
    case 'figure':
      if (panel.of !== undefined) return { type: 'metrics', params: ratio(panel.q ?? '', panel.of, panel.title), aggs: [] };
      return {
        type: 'metric',
        params: {
          addTooltip: true, addLegend: false, type: 'metric',
          metric: { percentageMode: false, useRanges: false, colorSchema: 'Green to Red', metricColorMode: 'None', colorsRange: [{ from: 0, to: 10_000 }], labels: { show: false }, invertColors: false, style: { bgFill: '#000', bgColor: false, labelColor: false, subText: '', fontSize: 32 } },
        },
        aggs: [metric(panel.metric, '1', panel.title)],
      };
    case 'timeline':
    case 'throughput': {
      const split = panel.type === 'timeline' && panel.splits
        ? [{ id: '3', enabled: true, type: 'filters', schema: 'group', params: { filters: panel.splits.map((s) => ({ input: { query: lucene(s.q), language: 'lucene' }, label: s.label })) } }]
        : panel.type === 'timeline' && panel.by ? [terms(panel.by, '3', 'group', 8)] : [];
      return { type: 'histogram', params: axes('histogram', [{ id: '1', label: 'lines' }]), aggs: [COUNT, OVER_TIME, ...split] };
    }
    case 'lines': {
      const metrics = panel.metrics.map((spec, i) => metric(spec, i ? String(i + 3) : '1', spec.split(':')[0]));
      return { type: 'line', params: axes('line', metrics.map((m) => ({ id: String(m.id), label: String((m.params as Json).customLabel) }))), aggs: [...metrics, OVER_TIME, ...(panel.by ? [terms(panel.by, '3', 'group', 8)] : [])] };
    }
    case 'donut':
      return { type: 'pie', params: { type: 'pie', addTooltip: true, addLegend: true, legendPosition: 'right', isDonut: true, labels: { show: false, values: true, last_level: true, truncate: 100 } }, aggs: [COUNT, terms(panel.by, '2', 'segment', 7)] };
    case 'top':
      return table(panel);
    case 'rules':
      return table({ type: 'top', title: panel.title, width: panel.width, by: 'tailrace.rule' });
    case 'streams':
      return table({ type: 'top', title: panel.title, width: panel.width, by: 'kubernetes.namespace,kubernetes.pod.name,kubernetes.container.name', metrics: ['max:@timestamp'], heads: ['newest line'] });
    case 'newest':
    case 'outputs':
    case 'lag':
      return undefined;
  }
}

function table(panel: TopPanel): { type: string; params: Json; aggs: Json[] } {
  const fields = panel.by.split(',');
  const metrics = (panel.metrics ?? []).map((spec, i) => metric(spec, String(10 + i), panel.heads?.[i]));
  const seen = panel.sample ? [metric('min:@timestamp', '20', 'first'), metric('max:@timestamp', '21', 'last')] : [];
  const order = panel.order && panel.order !== 'count' ? String(10 + (panel.metrics ?? []).indexOf(panel.order)) : '1';
  return {
    type: 'table', params: { perPage: 10, showPartialRows: false, showMetricsAtAllLevels: false, showTotal: false, totalFunc: 'sum', percentageCol: '' },
    aggs: [COUNT, ...metrics, ...seen, ...fields.map((field, i) => terms(field, String(2 + i), 'bucket', panel.size ?? 10, order))],
  };
}

/** A share of two counts needs the time series visual builder. */
function ratio(numerator: string, denominator: string, label: string): Json {
  return {
    id: 'ratio', type: 'metric', time_field: '@timestamp', index_pattern: INDEX, use_kibana_indexes: false, interval: '', time_range_mode: 'entire_time_range',
    axis_position: 'left', axis_formatter: 'number', axis_scale: 'normal', show_legend: 1, show_grid: 1, background_color_rules: [{ id: 'none' }],
    series: [{
      id: 'share', label, color: '#0b6b7d', split_mode: 'everything', separate_axis: 0, axis_position: 'right', formatter: 'percent', chart_type: 'line', line_width: 1, point_size: 1, fill: 0.5, stacked: 'none',
      metrics: [{ id: 'value', type: 'filter_ratio', metric_agg: 'count', numerator: { query: lucene(numerator), language: 'lucene' }, denominator: { query: lucene(denominator) || '*', language: 'lucene' } }],
    }],
  };
}

function source(q: string): Json {
  return { searchSourceJSON: JSON.stringify({ query: { query: lucene(q), language: 'lucene' }, filter: [], indexRefName: INDEX_REF }) };
}

const ON_INDEX = [{ name: INDEX_REF, type: 'index-pattern', id: INDEX_ID }];

/** A dashboard's saved objects, the dashboard last. */
function objects(name: string, dashboard: Dashboard): SavedObject[] {
  const out: SavedObject[] = [];
  const panels: Json[] = [];
  const references: SavedObject['references'] = [];
  let [x, y, rowHeight] = [0, 0, 0];
  dashboard.panels.forEach((panel, i) => {
    const id = `tailrace-${name}-${i + 1}`;
    const state = visState(panel);
    if (panel.type === 'newest') {
      out.push({ id, type: 'search', references: ON_INDEX, migrationVersion: { search: '7.9.3' }, attributes: { title: `Tailrace: ${dashboard.title}, ${panel.title}`, columns: ['log.level', ...(panel.columns ?? ['message'])], sort: [['@timestamp', 'desc']], hits: 0, version: 1, kibanaSavedObjectMeta: source(panel.q ?? '') } });
    } else if (state) {
      const title = `Tailrace: ${dashboard.title}, ${panel.title}`;
      const isBuilder = state.type === 'metrics';
      out.push({
        id, type: 'visualization', migrationVersion: { visualization: '7.10.0' }, references: isBuilder ? [] : ON_INDEX,
        attributes: { title, version: 1, description: '', uiStateJSON: '{}', visState: JSON.stringify({ title, ...state }), kibanaSavedObjectMeta: isBuilder ? { searchSourceJSON: '{"query":{"query":"","language":"lucene"},"filter":[]}' } : source(panel.q ?? '') },
      });
    } else return;
    const w = panel.width * COLUMNS;
    const h = HEIGHT[panel.type] ?? 13;
    if (x + w > 48) [x, y, rowHeight] = [0, y + rowHeight, 0];
    panels.push({ version: '7.10.2', type: panel.type === 'newest' ? 'search' : 'visualization', gridData: { x, y, w, h, i: String(i + 1) }, panelIndex: String(i + 1), embeddableConfig: {}, title: panel.title, panelRefName: `panel_${references.length}` });
    references.push({ name: `panel_${references.length}`, type: panel.type === 'newest' ? 'search' : 'visualization', id });
    x += w;
    rowHeight = Math.max(rowHeight, h);
  });
  out.push({
    id: `tailrace-${name}`, type: 'dashboard', references, migrationVersion: { dashboard: '7.9.3' },
    attributes: {
      title: `Tailrace: ${dashboard.title}`, description: dashboard.description ?? '', hits: 0, version: 1, panelsJSON: JSON.stringify(panels), optionsJSON: '{"hidePanelTitles":false,"useMargins":true}',
      timeRestore: true, timeFrom: dashboard.from ?? 'now-1h', timeTo: 'now', kibanaSavedObjectMeta: { searchSourceJSON: '{"query":{"query":"","language":"lucene"},"filter":[]}' },
    },
  });
  return out;
}

/** All dashboards as NDJSON, for "Import" under Saved Objects. */
export function kibana(dashboards: Record<string, Dashboard>): string {
  // Without `fields` both products read them from the index when the pattern is first used.
  const index: SavedObject = { id: INDEX_ID, type: 'index-pattern', references: [], migrationVersion: { 'index-pattern': '7.6.0' }, attributes: { title: INDEX, timeFieldName: '@timestamp' } };
  const all = [index, ...Object.entries(dashboards).flatMap(([name, dashboard]) => objects(name, dashboard))];
  return all.map((object) => `${JSON.stringify(object)}\n`).join('');
}
