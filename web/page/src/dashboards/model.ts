// What a dashboard is made of. The same form is kept by the server, exported and imported.

import { addClause } from '../query/tokens';

export type Unit = 'count' | 'bytes' | 'ns' | 'ms' | 'percent' | 'plain';

interface Common {
  title: string;
  /** Query of the panel, narrowed further by the dashboard's own. */
  q?: string;
  /** Columns of the grid's twelve. */
  width: number;
}

/** One figure. */
export interface FigurePanel extends Common {
  type: 'figure';
  /** `count`, `unique:field`, `p95:field`, … as the API's `metrics`. */
  metric: string;
  /** Shown as a share of the count of this query. */
  of?: string;
  unit?: Unit;
  /** More is worse: a rise is coloured. */
  isBad?: boolean;
}

/** Counts over time, stacked. */
export interface TimelinePanel extends Common {
  type: 'timeline';
  /** Field to split by. */
  by?: string;
  /** A bar a day, where the range has several days. */
  byDay?: boolean;
  /** Or a query a series. */
  splits?: { label: string; q: string; color?: string }[];
}

/** Figures over time, as lines. */
export interface LinesPanel extends Common {
  type: 'lines';
  metrics: string[];
  by?: string;
  unit?: Unit;
}

/** Shares of a whole. */
export interface DonutPanel extends Common {
  type: 'donut';
  by: string;
}

/** The values with the most, as bars or, with several columns, a table. */
export interface TopPanel extends Common {
  type: 'top';
  by: string;
  /** Beside the count. */
  metrics?: string[];
  units?: Unit[];
  heads?: string[];
  order?: string;
  size?: number;
  /** Taken from each shown figure: a container that started once has no restarts. */
  minus?: number;
  /** Shows an example, and when it was first and last seen. */
  sample?: boolean;
}

/** The newest lines. */
export interface NewestPanel extends Common {
  type: 'newest';
  columns?: string[];
  size?: number;
}

/** What the aggregator tells of itself. */
export interface SpecialPanel extends Common {
  type: 'streams' | 'outputs' | 'throughput' | 'rules' | 'lag';
}

export type Panel = FigurePanel | TimelinePanel | LinesPanel | DonutPanel | TopPanel | NewestPanel | SpecialPanel;

export interface Dashboard {
  title: string;
  description?: string;
  /** Range when the address has none. */
  from?: string;
  panels: Panel[];
}

/** The kinds that a user may choose, with what they are called. */
export const KINDS: [Panel['type'], string][] = [
  ['timeline', 'Lines over time'], ['figure', 'Figure'], ['top', 'Top values'], ['donut', 'Shares'], ['lines', 'Figures over time'], ['newest', 'Newest lines'],
];

/** Two queries that must both hold. */
export function both(a: string | undefined, b: string | undefined): string {
  const [left, right] = [a?.trim() ?? '', b?.trim() ?? ''];
  if (!left || !right) return left || right;
  // The first is kept whole, the second as it stands when it is a list of clauses.
  return addClause(left, / OR /.test(right) ? `(${right})` : right);
}

/** A dashboard from text that someone exported, or what is wrong with it. */
export function readDashboard(value: unknown): Dashboard | string {
  if (value === null || typeof value !== 'object') return 'this is no dashboard: it is not a JSON object';
  const { title, panels, description, from } = value as Record<string, unknown>;
  if (typeof title !== 'string' || !title.trim()) return 'this is no dashboard: `title` is missing';
  if (!Array.isArray(panels)) return 'this is no dashboard: `panels` is missing';
  const known = new Set<unknown>([...KINDS.map(([kind]) => kind), 'streams', 'outputs', 'throughput', 'rules', 'lag']);
  for (const [i, panel] of panels.entries()) {
    if (panel === null || typeof panel !== 'object') return `panel ${i + 1} is no object`;
    const p = panel as Record<string, unknown>;
    if (!known.has(p.type)) return `panel ${i + 1} is of an unknown type: ${JSON.stringify(p.type)}`;
    if (typeof p.title !== 'string') return `panel ${i + 1} has no title`;
    if (p.q !== undefined && typeof p.q !== 'string') return `the query of panel ${i + 1} is no text`;
    if ((p.type === 'top' || p.type === 'donut') && typeof p.by !== 'string') return `panel ${i + 1} lacks \`by\`, the field of its values`;
    if (p.type === 'figure' && typeof p.metric !== 'string') return `panel ${i + 1} lacks \`metric\``;
    if (p.type === 'lines' && !Array.isArray(p.metrics)) return `panel ${i + 1} lacks \`metrics\``;
  }
  return {
    title: title.trim(),
    ...(typeof description === 'string' && { description }),
    ...(typeof from === 'string' && { from }),
    panels: (panels as Panel[]).map((p) => ({ ...p, width: Number.isFinite(p.width) ? Math.min(Math.max(Math.round(p.width), 2), 12) : 6 })),
  };
}
