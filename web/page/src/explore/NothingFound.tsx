// What stands in place of an empty list: why it may be empty, and the next step, as a button.

import { useEffect } from 'preact/hooks';
import { get } from '../api/client';
import { removeClause, tokens } from '../query/tokens';
import { resource } from '../state/resource';
import { serverNow } from '../state/session';
import { current, query, range, setQuery, setRange } from '../state/view';
import { count, describeRange } from '../time/format';
import { Empty } from '../ui/Notice';
import { zone } from '../state/view';

const wider = resource<{ count: number }>();
const anything = resource<{ count: number }>();

export function NothingFound() {
  const q = query.value;
  useEffect(() => {
    void wider.load((signal) => get('count', { q, from: 'now-7d', to: 'now' }, signal));
    if (q) void anything.load((signal) => get('count', { from: new Date(current.peek().from).toISOString(), to: new Date(current.peek().to).toISOString() }, signal));
    else anything.clear();
  }, [q, current.value.from]);
  const week = wider.data.value?.count;
  const inRange = anything.data.value?.count;
  const when = describeRange(range.value, serverNow(), zone.value);
  if (!q && week === 0) return <FirstSteps />;
  const last = tokens(q).some((t) => t.kind === 'space') ? q.trim().split(/\s+(?=(?:[^"]*"[^"]*")*[^"]*$)/).at(-1) ?? '' : '';
  return (
    <Empty title={q ? 'No line matches' : 'No lines in this range'}>
      <p>{when}{q && <>, <code>{q}</code></>}</p>
      <div class="empty-acts">
        {week !== undefined && week > 0 && <button type="button" class="button" onClick={() => setRange({ from: 'now-7d', to: 'now' })}>{count(week)} in the last 7 days</button>}
        {last && <button type="button" class="button" onClick={() => setQuery(removeClause(q, last))}>Without <code>{last}</code></button>}
        {q && inRange !== undefined && inRange > 0 && <button type="button" class="button" onClick={() => setQuery('')}>All {count(inRange)} lines of this range</button>}
      </div>
      {q && week === 0 && <p class="dim">Nothing in the last week either. Is the field’s name right? The list on the left has all that there are.</p>}
    </Empty>
  );
}

/** Nothing has ever arrived. */
function FirstSteps() {
  return (
    <Empty title="No lines have arrived yet">
      <p>Tailrace is up and waiting. To see something:</p>
      <ol>
        <li>Start the agent on a node (<code>kubectl apply -k k8s/base</code>), or beside this aggregator: <code>tailrace-agent --config agent.yaml</code>.</li>
        <li>
          Or send a line by hand:
          <pre class="raw">{`curl -H 'content-type: application/json' ${window.location.origin}/api/v1/logs \\
  -d '{"service":"hello","level":"info","message":"it works"}'`}</pre>
        </li>
      </ol>
      <p class="dim">Lines show here within about a second. The pipeline’s own state is under <a href="/dashboards/pipeline">Dashboards → Pipeline</a>.</p>
    </Empty>
  );
}
