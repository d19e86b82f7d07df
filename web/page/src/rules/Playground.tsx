// Lines at the left, a rule under them, what comes out at the right, as one types.

import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { isAbort, Problem, send } from '../api/client';
import type { Trial } from '../api/types';
import { display, flatten } from '../text/document';
import { download } from '../dashboards/own';
import { Icon } from '../ui/icons';
import { copy } from '../ui/toast';
import { withExamples, type Example } from './yaml';

const TRY_AFTER_MS = 250;
const MOST_LINES = 200;

const BEGIN = `# Holes in angle brackets take what differs; names of the Elastic Common Schema are those
# fields, others land under attributes.
name: shop.checkout
steps:
  - pattern: '<@timestamp> <log.level> [<process.thread.name>] order=<order> took=<took_ms:float> <message>'
`;
const BEGIN_LINES = `2026-11-25T10:00:00Z WARN [pool-1] order=A17 took=12.5 no card: retrying
2026-11-25T10:00:01Z INFO [pool-2] order=A18 took=3.1 paid
starting up`;

const lines = signal(BEGIN_LINES);
const rule = signal(BEGIN);
const useOwn = signal(true);
const trial = signal<Trial | undefined>(undefined);
const problem = signal<Problem | undefined>(undefined);

/** Brings lines into the playground, with a rule to begin from. */
export function addLines(list: string[], name: string): void {
  lines.value = list.map((line) => line.replace(/\n[^]*$/, '')).join('\n');
  rule.value = `name: ${name.toLowerCase().replace(/[^\w/.-]+/g, '').replace(/\//g, '.') || 'new.rule'}\nsteps:\n  - pattern: '<message>'\n`;
  useOwn.value = true;
}

function splitLines(): string[] {
  return lines.value.split('\n').filter((line) => line !== '').slice(0, MOST_LINES);
}

export function Playground() {
  const asked = useRef<AbortController | undefined>(undefined);
  useEffect(() => {
    const timer = setTimeout(async () => {
      asked.current?.abort();
      const controller = new AbortController();
      asked.current = controller;
      try {
        const body = useOwn.value ? { rules: rule.value, lines: splitLines() } : { lines: splitLines() };
        trial.value = await send<Trial>('POST', 'rules/try', body, controller.signal);
        problem.value = undefined;
      } catch (error) {
        if (isAbort(error)) return;
        if (!(error instanceof Problem)) throw error;
        problem.value = error;
      }
    }, TRY_AFTER_MS);
    return () => clearTimeout(timer);
  }, [lines.value, rule.value, useOwn.value]);
  useEffect(() => () => asked.current?.abort(), []);
  const input = splitLines();
  const results = trial.value?.problems.length ? [] : trial.value?.results ?? [];
  const matched = results.filter((r) => r.rule).length;
  const keepExamples = () => {
    const list: Example[] = results.map((r, i) => ({ line: input[i] ?? '', dropped: r.dropped, ...(r.rule && r.document && { document: r.document }) }));
    rule.value = withExamples(rule.value, list);
  };
  return (
    <div class="playground">
      <section class="play-in" aria-label="Lines and rule">
        <label class="play-label" for="play-lines">Lines, as the program writes them</label>
        <textarea id="play-lines" class="play-lines" spellcheck={false} value={lines.value} onInput={(event) => { lines.value = event.currentTarget.value; }} />
        <div class="play-bar">
          <label for="play-rule">Rule</label>
          <div class="switch" role="group" aria-label="Which rules">
            <button type="button" aria-pressed={useOwn.value} onClick={() => { useOwn.value = true; }}>This one</button>
            <button type="button" aria-pressed={!useOwn.value} onClick={() => { useOwn.value = false; }}>Those in force</button>
          </div>
          <span class="space" />
          <button type="button" class="button" disabled={!useOwn.value || !results.length} title="Writes what came out into the rule as its examples" onClick={keepExamples}>Keep as examples</button>
          <button type="button" class="button" aria-label="Copy the rule" title="Copy" onClick={() => copy(rule.value, 'the rule')}><Icon name="copy" /></button>
          <button type="button" class="button" aria-label="Download the rule" title="Download" onClick={() => download(`${/^name:\s*['"]?([\w.-]+)/m.exec(rule.value)?.[1] ?? 'rule'}.yaml`, rule.value)}><Icon name="download" /></button>
        </div>
        <textarea
          id="play-rule" class="play-rule" spellcheck={false} disabled={!useOwn.value} value={rule.value}
          onInput={(event) => { rule.value = event.currentTarget.value; }} onKeyDown={indent}
        />
      </section>
      <section class="play-out" aria-label="What comes out" aria-live="polite" tabIndex={0}>
        {problem.value && <p class="panel-problem" role="alert">{problem.value.message}</p>}
        {trial.value && trial.value.problems.length > 0 && (
          <ul class="play-problems" role="alert">
            {trial.value.problems.map((p, i) => (
              <li key={i}>
                {p.line > 0 && <b>{p.line}:{p.column} </b>}{p.message}{p.hint && <span class="dim"> {p.hint}</span>}
                {p.line > 0 && <pre>{rule.value.split('\n')[p.line - 1] ?? ''}{'\n'}{' '.repeat(Math.max(p.column - 1, 0))}^</pre>}
              </li>
            ))}
          </ul>
        )}
        {results.length > 0 && <p class="dim small">{matched} of {results.length} lines matched a rule</p>}
        {results.map((r, i) => (
          <article key={i} class={r.dropped ? 'play-result dropped' : r.rule ? 'play-result' : 'play-result none'}>
            <p class="play-line"><span class="badge">{r.dropped ? 'dropped' : r.rule ?? 'no rule'}</span> {input[i]}</p>
            {r.document && !r.dropped && (
              <table class="fields">
                <tbody>
                  {flatten(r.document).filter(([name]) => !name.startsWith('tailrace.')).map(([name, value]) => (
                    <tr key={name}><th scope="row">{name}</th><td class="v">{display(value)} <span class="faint">{typeof value === 'number' ? 'number' : typeof value === 'boolean' ? 'boolean' : ''}</span></td></tr>
                  ))}
                </tbody>
              </table>
            )}
          </article>
        ))}
      </section>
    </div>
  );
}

/** Enter keeps the indentation, which YAML lives by. Tab is left to move the focus. */
function indent(event: KeyboardEvent): void {
  const area = event.currentTarget as HTMLTextAreaElement;
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  const before = area.value.slice(0, area.selectionStart);
  const spaces = /(?:^|\n)( *)[^\n]*$/.exec(before)?.[1] ?? '';
  if (!spaces) return;
  event.preventDefault();
  area.setRangeText(`\n${spaces}`, area.selectionStart, area.selectionEnd, 'end');
  rule.value = area.value;
}
