// The dashboards that are there at first start. They are data, in the form in which own dashboards
// are kept, so that each can be taken as a beginning of one's own.

import type { Dashboard } from './model';

const ERRORS = 'level:(error OR fatal)';

export const BUILTIN: Record<string, Dashboard> = {
  overview: {
    title: 'Overview',
    description: 'How much is logged, what is wrong, where.',
    from: 'now-1h',
    panels: [
      { type: 'figure', title: 'Lines', metric: 'count', width: 2 },
      { type: 'figure', title: 'Errors', metric: 'count', q: ERRORS, isBad: true, width: 2 },
      { type: 'figure', title: 'Error rate', metric: 'count', q: ERRORS, of: '', unit: 'percent', isBad: true, width: 2 },
      { type: 'figure', title: 'Services', metric: 'unique:service.name', width: 2 },
      { type: 'figure', title: 'Pods', metric: 'unique:kubernetes.pod.name', width: 2 },
      { type: 'lag', title: 'Lag', width: 2 },
      { type: 'timeline', title: 'Lines by level', by: 'log.level', width: 9 },
      { type: 'donut', title: 'Levels', by: 'log.level', width: 3 },
      { type: 'timeline', title: 'Errors by service', q: ERRORS, by: 'service.name', width: 6 },
      { type: 'top', title: 'Services', by: 'service.name', width: 3 },
      { type: 'top', title: 'Services with errors', q: ERRORS, by: 'service.name', width: 3 },
      { type: 'newest', title: 'Newest errors', q: ERRORS, columns: ['service.name', 'message'], size: 12, width: 12 },
    ],
  },
  traffic: {
    title: 'Traffic',
    description: 'Requests as access logs tell of them.',
    from: 'now-1h',
    panels: [
      { type: 'figure', title: 'Requests', metric: 'count', q: 'status:*', width: 2 },
      { type: 'figure', title: 'Server errors', metric: 'count', q: 'status>=500', of: 'status:*', unit: 'percent', isBad: true, width: 2 },
      { type: 'figure', title: 'Client errors', metric: 'count', q: 'status:[400 TO 499]', of: 'status:*', unit: 'percent', isBad: true, width: 2 },
      { type: 'figure', title: 'p95 latency', metric: 'p95:event.duration', q: 'status:*', unit: 'ns', isBad: true, width: 2 },
      { type: 'figure', title: 'Bytes sent', metric: 'sum:http.response.body.bytes', q: 'status:*', unit: 'bytes', width: 2 },
      { type: 'figure', title: 'Clients', metric: 'unique:source.address', q: 'status:*', width: 2 },
      {
        type: 'timeline', title: 'Requests by class of status', width: 8,
        splits: [
          { label: '2xx', q: 'status:[200 TO 299]', color: '--series-3' }, { label: '3xx', q: 'status:[300 TO 399]', color: '--series-5' },
          { label: '4xx', q: 'status:[400 TO 499]', color: '--level-warn' }, { label: '5xx', q: 'status>=500', color: '--level-error' },
        ],
      },
      { type: 'donut', title: 'Status', q: 'status:*', by: 'http.response.status_code', width: 4 },
      { type: 'lines', title: 'Latency', q: 'took:*', metrics: ['p50:event.duration', 'p95:event.duration', 'p99:event.duration'], unit: 'ns', width: 6 },
      { type: 'lines', title: 'Bytes sent', q: 'status:*', metrics: ['sum:http.response.body.bytes'], unit: 'bytes', width: 6 },
      { type: 'top', title: 'Paths', q: 'path:*', by: 'url.path', metrics: ['p95:event.duration', 'sum:http.response.body.bytes'], units: ['ns', 'bytes'], heads: ['p95', 'bytes'], width: 6 },
      { type: 'top', title: 'Paths with server errors', q: 'status>=500', by: 'url.path', width: 3 },
      { type: 'top', title: 'Methods', q: 'method:*', by: 'http.request.method', width: 3 },
      { type: 'top', title: 'Clients', q: 'status:*', by: 'source.address', metrics: ['sum:http.response.body.bytes'], units: ['bytes'], heads: ['bytes'], width: 6 },
      { type: 'top', title: 'User agents', q: 'agent:*', by: 'user_agent.original', width: 6 },
    ],
  },
  errors: {
    title: 'Errors',
    description: 'Kinds of errors: how often, since when, an example of each.',
    from: 'now-7d',
    panels: [
      { type: 'figure', title: 'Errors', metric: 'count', q: ERRORS, isBad: true, width: 3 },
      { type: 'figure', title: 'Kinds', metric: 'unique:error.fingerprint', q: ERRORS, isBad: true, width: 3 },
      { type: 'figure', title: 'Services with errors', metric: 'unique:service.name', q: ERRORS, isBad: true, width: 3 },
      { type: 'figure', title: 'Share of all lines', metric: 'count', q: ERRORS, of: '', unit: 'percent', isBad: true, width: 3 },
      { type: 'timeline', title: 'Errors by service', q: ERRORS, by: 'service.name', byDay: true, width: 8 },
      { type: 'top', title: 'Types', q: ERRORS, by: 'error.type', width: 4 },
      { type: 'top', title: 'Kinds of errors', q: ERRORS, by: 'error.fingerprint', sample: true, size: 30, width: 12 },
      { type: 'newest', title: 'Newest', q: ERRORS, columns: ['service.name', 'error.type', 'message'], size: 15, width: 12 },
    ],
  },
  kubernetes: {
    title: 'Kubernetes',
    description: 'Who logs how much; which containers restart.',
    from: 'now-1h',
    panels: [
      { type: 'figure', title: 'Namespaces', metric: 'unique:kubernetes.namespace', width: 3 },
      { type: 'figure', title: 'Pods', metric: 'unique:kubernetes.pod.name', width: 3 },
      { type: 'figure', title: 'Containers', metric: 'unique:container.id', width: 3 },
      { type: 'figure', title: 'Nodes', metric: 'unique:kubernetes.node.name', width: 3 },
      { type: 'timeline', title: 'Lines by namespace', by: 'kubernetes.namespace', width: 8 },
      { type: 'top', title: 'Namespaces', by: 'kubernetes.namespace', metrics: ['sum:tailrace.length'], units: ['bytes'], heads: ['bytes'], width: 4 },
      { type: 'top', title: 'Noisiest pods', by: 'kubernetes.pod.name', metrics: ['sum:tailrace.length'], units: ['bytes'], heads: ['bytes'], size: 12, width: 6 },
      { type: 'top', title: 'Restarts', by: 'kubernetes.pod.name,kubernetes.container.name', metrics: ['unique:container.id'], order: 'unique:container.id', minus: 1, heads: ['restarts'], size: 12, width: 6 },
      { type: 'top', title: 'Nodes', by: 'kubernetes.node.name', width: 4 },
      { type: 'top', title: 'Pods with errors', q: ERRORS, by: 'kubernetes.pod.name', width: 4 },
      { type: 'top', title: 'Images', by: 'container.image.name', width: 4 },
    ],
  },
  pipeline: {
    title: 'Pipeline',
    description: 'The way of a line to the store: throughput, lag, buffer, retries, dead letters, rules.',
    from: 'now-1h',
    panels: [
      { type: 'outputs', title: 'This aggregator', width: 12 },
      { type: 'throughput', title: 'Documents a second, since this page was opened', width: 6 },
      { type: 'timeline', title: 'Lines by node', by: 'kubernetes.node.name', width: 6 },
      { type: 'streams', title: 'Streams, the slowest first', width: 8 },
      { type: 'rules', title: 'Rules', width: 4 },
      { type: 'top', title: 'Mended documents', q: 'tailrace.mended_reason:*', by: 'tailrace.mended_reason', width: 6 },
      { type: 'top', title: 'Lines that no rule could read', q: 'tags:unparsed', by: 'kubernetes.container.name', width: 6 },
    ],
  },
};
