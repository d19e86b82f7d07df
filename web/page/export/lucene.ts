// The page's queries in Lucene's syntax, which Kibana, OpenSearch Dashboards and Grafana take:
// full names of fields, and comparisons with a colon.

import { tokens } from '../src/query/tokens.ts';

/** The short names that the dashboards use. The server knows more. */
const NAMES: Record<string, string> = {
  level: 'log.level', service: 'service.name', namespace: 'kubernetes.namespace', pod: 'kubernetes.pod.name',
  status: 'http.response.status_code', path: 'url.path', method: 'http.request.method', agent: 'user_agent.original',
  took: 'event.duration', trace: 'trace.id', rule: 'tailrace.rule',
};

export function lucene(q: string): string {
  return tokens(q).map(({ kind, start, end }) => {
    const text = q.slice(start, end);
    if (kind === 'field') {
      const name = NAMES[text] ?? text;
      if (name === text && !/[.@]|^tags$|^message$/.test(text)) throw new Error(`the dashboards use the short name \`${text}\`, which lucene.ts does not know`);
      return name;
    }
    if (kind === 'operator') return text.startsWith(':') ? text : `:${text}`;
    return kind === 'not' ? 'NOT ' : text;
  }).join('');
}
