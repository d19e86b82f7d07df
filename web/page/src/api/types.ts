// The answers of the API, as web/openapi.yaml describes them.

import type { Source } from '../text/document';

export interface Hit {
  id: string;
  index: string;
  cursor: string;
  source: Source;
  highlight?: [number, number][];
}

export interface SearchResult {
  took_ms: number;
  timed_out: boolean;
  total: { value: number; relation: 'eq' | 'gte' };
  hits: Hit[];
  next_cursor: string | null;
  from: string;
  to: string;
}

export interface Histogram {
  from: string;
  to: string;
  interval_ms: number;
  total: number;
  series: { key: string | null; count: number; other?: boolean }[];
  buckets: { start: number; count: number; counts: number[] }[];
}

export type Scalar = string | number | boolean | null;

export interface Row {
  key: Scalar[];
  count: number;
  values: (number | null)[];
  first?: string | null;
  last?: string | null;
  sample?: Hit[];
  buckets?: { start: number; count: number; values: (number | null)[] }[];
}

export interface Table {
  from: string;
  to: string;
  total: number;
  interval_ms?: number;
  by: string[];
  metrics: string[];
  other: number;
  rows: Row[];
}

export interface Values {
  field: string;
  total: number;
  missing?: number;
  other: number;
  values: { value: string | number | boolean; count: number }[];
}

export interface Facets {
  total: number;
  facets: Values[];
}

export interface Field {
  name: string;
  alias?: string;
  type: string;
  searchable: boolean;
  aggregatable: boolean;
  count?: number;
}

export interface Suggestion {
  text: string;
  kind: 'field' | 'value' | 'operator';
  label?: string;
  type?: string;
  count?: number;
}

export interface Completions {
  start: number;
  end: number;
  suggestions: Suggestion[];
}

export interface Pattern {
  pattern: string;
  count: number;
  share: number;
  levels: Record<string, number>;
  services?: Record<string, number>;
  first: string;
  last: string;
  sample: Hit;
  query: string;
}

export interface Patterns {
  sampled: number;
  total: number;
  patterns: Pattern[];
}

export interface Context {
  before: Hit[];
  hit: Hit;
  after: Hit[];
}

/** A saved search or a dashboard. */
export interface Saved<Body = Record<string, unknown>> {
  id: string;
  name: string;
  description?: string;
  body: Body;
  version: number;
  updated: string;
  owner?: string | null;
}

export interface Stream {
  stream: string;
  namespace: string | null;
  pod: string | null;
  container: string | null;
  node: string | null;
  file: string | null;
  service: string | null;
  lines: number;
  bytes: number;
  offset?: number | null;
  first: string | null;
  last: string | null;
  lag_ms?: number | null;
}

export interface RuleFigures {
  name: string;
  documents: number;
  tried?: number;
  matched?: number;
  failed?: number;
  cpu_seconds?: number;
}

export interface Rules {
  rules: RuleFigures[];
  unmatched?: number;
  problem?: string;
}

export interface Trial {
  problems: { line: number; column: number; message: string; hint?: string }[];
  results: { rule?: string; dropped: boolean; document?: Source }[];
}

export interface Status {
  version: string;
  uptime_seconds: number;
  resident_bytes?: number;
  reload_error?: string | null;
  outputs: Record<string, unknown>[];
  counters?: Record<string, number>;
}

export interface Info {
  name: string;
  version: string;
  now: string;
  store?: string;
  index?: string;
  features: string[];
  limits: Record<string, number>;
  aliases: Record<string, string>;
}

export interface Me {
  user: string | null;
  role: 'viewer' | 'editor' | 'admin';
  namespaces: string[];
  auth: 'none' | 'basic' | 'bearer' | 'header';
}

export interface TailStats {
  seen: number;
  matched: number;
  sent: number;
  skipped: number;
  sampled: boolean;
}
