// Rules: which there are and what they cost, lines that none could read, and a place to write one.

import { useEffect } from 'preact/hooks';
import { get } from '../api/client';
import type { Hit, Rules } from '../api/types';
import { follow } from '../app';
import { Line } from '../list/Line';
import { clause } from '../query/tokens';
import { href, location, navigate } from '../state/location';
import { resource } from '../state/resource';
import { carried, current, over, zone } from '../state/view';
import { field, text } from '../text/document';
import { compact, count, duration } from '../time/format';
import { TimePicker } from '../time/TimePicker';
import { Busy, Empty, Failure } from '../ui/Notice';
import { ExploreLink } from '../dashboards/panels';
import { addLines, Playground } from './Playground';

const TABS = [['', 'Rules'], ['unmatched', 'Unmatched lines'], ['playground', 'Playground']] as const;

export function RulesView() {
  const tab = location.value.path.split('/')[2] ?? '';
  const params = carried(['from', 'to', 'tz']);
  return (
    <main class="rules" id="main">
      <h1 class="offscreen">Rules</h1>
      <div class="toolbar">
        <nav class="tabs" aria-label="Rules">
          {TABS.map(([path, name]) => {
            const to = path ? `/rules/${path}` : '/rules';
            return <a key={path} href={href(to, params)} aria-current={tab === path ? 'page' : undefined} onClick={(event) => follow(event, to, params)}>{name}</a>;
          })}
        </nav>
        <span class="space" />
        {tab !== 'playground' && <TimePicker />}
      </div>
      {tab === 'playground' ? <Playground /> : tab === 'unmatched' ? <Unmatched /> : <List />}
    </main>
  );
}

const rules = resource<Rules>();

function List() {
  const window = current.value;
  useEffect(() => {
    void rules.load((signal) => get('rules', { from: over(window).from, to: over(window).to }, signal));
  }, [window]);
  const answer = rules.data.value;
  if (rules.problem.value) return <Failure problem={rules.problem.value} />;
  if (!answer) return <Busy on />;
  const playground = carried(['tz']);
  if (!answer.rules.length) {
    return (
      <Empty title="No rules are loaded">
        <p>Lines are read without them: JSON, logfmt and levels in plain text are recognised. A rule says how to read what is none of these.</p>
        <p><a href="/rules/playground" onClick={(event) => follow(event, '/rules/playground', playground)}>Write one in the playground</a>, save it as a file, and name its folder under <code>rules:</code> in the aggregator’s configuration.</p>
      </Empty>
    );
  }
  const cpu = answer.rules.reduce((n, r) => n + (r.cpu_seconds ?? 0), 0);
  return (
    <div class="rules-list" tabIndex={0} role="region" aria-label="Rules">
      <Busy on={rules.loading.value} />
      {answer.problem && <p class="failure" role="alert"><span><strong>The last reload was refused;</strong> the rules below are still in force. {answer.problem}</span></p>}
      <p class="dim pad">
        {count(answer.rules.length)} rules, in the order in which they are tried.
        {answer.unmatched !== undefined && answer.unmatched > 0 && <> <a href={href('/rules/unmatched', carried(['from', 'to', 'tz']))} onClick={(event) => follow(event, '/rules/unmatched', carried(['from', 'to', 'tz']))}>{count(answer.unmatched)} lines</a> of this range were read by none.</>}
      </p>
      <table class="top-table">
        <thead>
          <tr>
            <th scope="col">rule</th><th scope="col" class="num">documents in range</th><th scope="col" class="num">tried</th><th scope="col" class="num">matched</th>
            <th scope="col" class="num">failed</th><th scope="col" class="num">CPU</th><th scope="col" class="num">a line</th>
          </tr>
        </thead>
        <tbody>
          {answer.rules.map((r) => (
            <tr key={r.name}>
              <td class="name">
                {r.cpu_seconds !== undefined && cpu > 0 && <span class="bar" style={{ width: `${(r.cpu_seconds / cpu) * 100}%` }} />}
                <ExploreLink q={clause('rule', r.name, false)}>{r.name}</ExploreLink>
              </td>
              <td class="num">{compact(r.documents)}</td>
              <td class="num">{written(r.tried)}</td>
              <td class="num">{written(r.matched)}</td>
              <td class={r.failed ? 'num bad' : 'num'}>{written(r.failed)}</td>
              <td class="num">{r.cpu_seconds === undefined ? '–' : duration(r.cpu_seconds * 1_000)}</td>
              <td class="num">{r.cpu_seconds && r.tried ? `${((r.cpu_seconds / r.tried) * 1e9).toFixed(0)} ns` : '–'}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="dim small pad">“Documents” are counted in the store over the range; the other figures are those of this aggregator since it started.</p>
    </div>
  );
}

function written(n: number | undefined): string {
  return n === undefined ? '–' : compact(n);
}

const unmatched = resource<{ total: number; hits: Hit[] }>();

function Unmatched() {
  const window = current.value;
  useEffect(() => {
    void unmatched.load((signal) => get('rules/unmatched', { from: over(window).from, to: over(window).to, size: 200 }, signal));
  }, [window]);
  const answer = unmatched.data.value;
  if (unmatched.problem.value) return <Failure problem={unmatched.problem.value} />;
  if (!answer) return <Busy on />;
  if (!answer.hits.length) return <Empty title="Every line was read by a rule"><p>Or no rule is for these streams, so that nothing was expected of them.</p></Empty>;
  // Lines of one container are for one rule.
  const groups = new Map<string, Hit[]>();
  for (const hit of answer.hits) {
    const name = [text(hit.source, 'kubernetes.namespace'), text(hit.source, 'kubernetes.container.name') || text(hit.source, 'service.name')].filter(Boolean).join(' / ') || 'unknown';
    groups.set(name, [...(groups.get(name) ?? []), hit]);
  }
  return (
    <div class="rules-list" tabIndex={0} role="region" aria-label="Unmatched lines">
      <Busy on={unmatched.loading.value} />
      <p class="dim pad">{count(answer.total)} lines of this range that no rule could read{answer.hits.length < answer.total && `; the newest ${count(answer.hits.length)}`}, by container.</p>
      {[...groups].sort((a, b) => b[1].length - a[1].length).map(([name, hits]) => (
        <section key={name} class="unmatched">
          <header>
            <h2>{name} <span class="dim">{count(hits.length)}</span></h2>
            <button type="button" class="button" onClick={() => { addLines(hits.slice(0, 20).map((hit) => display(hit)), name); navigate('/rules/playground', carried(['tz'])); }}>Write a rule for these</button>
          </header>
          <div class="lines in-panel">
            {hits.slice(0, 8).map((hit) => (
              <div key={hit.id} class="line" style={{ gridTemplateColumns: '4px 20ch 6ch minmax(20ch, 1fr)' }}>
                <Line source={hit.source} columns={['message']} zone={zone.value} withDate words={[]} />
              </div>
            ))}
          </div>
        </section>
      ))}
    </div>
  );
}

/** The line as it was written, where it is kept. */
function display(hit: Hit): string {
  const original = field(hit.source, 'event.original');
  return typeof original === 'string' ? original : text(hit.source, 'message');
}
