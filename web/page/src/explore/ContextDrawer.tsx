// The lines around one, of the same container or pod, whatever the query was.

import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { get } from '../api/client';
import type { Context, Hit } from '../api/types';
import { Detail } from '../list/Detail';
import { gridTemplate, Line } from '../list/Line';
import { param, setParams } from '../state/location';
import { resource } from '../state/resource';
import { zone } from '../state/view';
import { text } from '../text/document';
import { Dialog } from '../ui/Dialog';
import { Busy, Failure } from '../ui/Notice';

const STEP = 50;
const context = resource<Context>();
const before = signal(20);
const after = signal(20);
const scope = signal<'container' | 'pod'>('container');

export function ContextDrawer() {
  const wanted = param('context');
  const at = wanted.indexOf('~');
  const [index, id] = [wanted.slice(0, at), wanted.slice(at + 1)];
  const line = useRef<HTMLDivElement>(null);
  const centred = useRef('');
  useEffect(() => {
    before.value = 20;
    after.value = 20;
    context.clear();
  }, [wanted]);
  useEffect(() => {
    void context.load((signal) => get('context', { id, index, before: before.value, after: after.value, scope: scope.value }, signal));
  }, [wanted, before.value, after.value, scope.value]);
  const data = context.data.value;
  useEffect(() => {
    // Only at first: fetching more must not move what one reads.
    if (!data || centred.current === wanted) return;
    centred.current = wanted;
    line.current?.scrollIntoView({ block: 'center' });
  }, [data, wanted]);
  const where = data && ['kubernetes.namespace', 'kubernetes.pod.name', 'kubernetes.container.name'].map((f) => text(data.hit.source, f)).filter(Boolean).join(' / ');
  return (
    <Dialog title="Context" kind="drawer" onClose={() => setParams({ context: undefined })}>
      <Busy on={context.loading.value} />
      <div class="drawer-bar">
        <span class="dim">{where}</span>
        <span class="space" />
        <div class="switch" role="group" aria-label="Lines of">
          {(['container', 'pod'] as const).map((s) => <button type="button" key={s} aria-pressed={scope.value === s} onClick={() => { scope.value = s; }}>{s}</button>)}
        </div>
      </div>
      {context.problem.value && <Failure problem={context.problem.value} retry={() => { before.value += 1; }} />}
      {data && (
        <div class="context lines wrapped" tabIndex={0} role="region" aria-label="Lines around">
          {data.before.length >= before.value && before.value < 500
            ? <button type="button" class="button more" onClick={() => { before.value = Math.min(before.value + STEP, 500); }}>{STEP} lines before</button>
            : <p class="list-end dim">{data.before.length >= 500 ? 'More lines: search for the container' : 'The first line there is'}</p>}
          {data.before.map((hit) => <Around key={hit.id} hit={hit} />)}
          <div ref={line} class="here" aria-current="true"><Around hit={data.hit} /><Detail hit={data.hit} canFilter={false} /></div>
          {data.after.map((hit) => <Around key={hit.id} hit={hit} />)}
          {data.after.length >= after.value && after.value < 500
            ? <button type="button" class="button more" onClick={() => { after.value = Math.min(after.value + STEP, 500); }}>{STEP} lines after</button>
            : <p class="list-end dim">{data.after.length >= 500 ? 'More lines: search for the container' : 'The last line there is'}</p>}
        </div>
      )}
    </Dialog>
  );
}

function Around({ hit }: { hit: Hit }) {
  const columns = scope.value === 'pod' ? ['kubernetes.container.name', 'message'] : ['message'];
  return (
    <div class="line" style={{ gridTemplateColumns: gridTemplate(columns, false) }}>
      <Line source={hit.source} columns={columns} zone={zone.value} withDate={false} words={[]} />
    </div>
  );
}
