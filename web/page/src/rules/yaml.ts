// Examples written back into a rule: YAML is made here, not read. The server reads it.

import { display, flatten, type Source } from '../text/document';

/** Fields that do not come from the line. */
const NOT_OF_THE_LINE = /^(tailrace|data_stream|kubernetes|container|host|agent|ecs|log\.(offset|file|iostream)|event\.ingested)(\.|$)/;

/** Text as a YAML scalar: plain where nothing could be misread, else in single quotes, else in double. */
export function scalar(value: string): string {
  // JSON's escapes are YAML's, too.
  if (/[\u0000-\u001f\u007f\u0085\u2028\u2029\ufeff]/.test(value)) return JSON.stringify(value);
  const isPlain = /^[A-Za-z_/][\w./ -]*$/.test(value) && !/ $/.test(value) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(value) && !/ #/.test(value);
  return isPlain ? value : `'${value.replace(/'/g, "''")}'`;
}

function written(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value)) return `[${value.map(written).join(', ')}]`;
  if (typeof value === 'object') return JSON.stringify(value);
  return scalar(display(value));
}

export interface Example {
  line: string;
  /** Undefined: no rule matched. */
  document?: Source;
  dropped: boolean;
}

/** Examples as entries of a rule's `examples:`, indented for it. */
export function examples(list: Example[]): string {
  return list.map(({ line, document, dropped }) => {
    const head = `  - line: ${scalar(line)}\n`;
    if (dropped) return `${head}    dropped: true\n`;
    if (!document) return `${head}    no_match: true\n`;
    const fields = flatten(document).filter(([name]) => !NOT_OF_THE_LINE.test(name));
    return `${head}    fields:\n${fields.map(([name, value]) => `      ${/^[\w.]+$/.test(name) ? name : scalar(name)}: ${written(value)}\n`).join('')}`;
  }).join('');
}

/** The rule's text with its examples replaced. They are looked for at the left margin, where a rule's keys stand. */
export function withExamples(rule: string, list: Example[]): string {
  const lines = rule.replace(/\n*$/, '\n').split('\n');
  const start = lines.findIndex((line) => /^examples:/.test(line));
  if (start < 0) return `${lines.join('\n').replace(/\n*$/, '\n')}examples:\n${examples(list)}`;
  let end = start + 1;
  while (end < lines.length && (/^[\s#-]/.test(lines[end] ?? '') && !/^---/.test(lines[end] ?? '') || lines[end] === '')) end++;
  const after = lines.slice(end).join('\n');
  return `${lines.slice(0, start).join('\n')}${start ? '\n' : ''}examples:\n${examples(list)}${after}`;
}
