// The dashboards: those that are always there, and own ones.

import { useEffect, useRef, useState } from 'preact/hooks';
import { follow } from '../app';
import { useKeys } from '../keyboard';
import { SearchBox } from '../query/SearchBox';
import { href, location, navigate, param } from '../state/location';
import { canEdit } from '../state/session';
import { carried, query, range, refresh, setQuery, ticks } from '../state/view';
import { TimePicker } from '../time/TimePicker';
import { Icon } from '../ui/icons';
import { Menu } from '../ui/Menu';
import { Empty } from '../ui/Notice';
import { toast } from '../ui/toast';
import { BUILTIN } from './builtin';
import { Editor } from './Editor';
import { readDashboard, type Dashboard, type Panel } from './model';
import { download, keep, loadOwn, own, remove } from './own';
import { Donut, Figure, Lines, Newest, Timeline, Top } from './panels';
import { Lag, Outputs, RulesPanel, Streams, Throughput } from './pipeline';

const KEPT = ['from', 'to', 'tz', 'refresh', 'q'];

export function Dashboards() {
  const path = location.value.path;
  const [, , first = 'overview', second = ''] = path.split('/');
  const isOwn = first === 'own';
  const saved = isOwn ? own.value?.find((d) => d.id === second) : undefined;
  const dashboard = isOwn ? saved?.body : BUILTIN[first];
  const [editing, setEditing] = useState<{ dashboard: Dashboard; id?: string } | undefined>();
  const [confirming, setConfirming] = useState(false);
  const file = useRef<HTMLInputElement>(null);
  useEffect(() => void loadOwn(), []);
  useEffect(() => {
    const seconds = refresh.value;
    if (!seconds) return;
    const timer = setInterval(() => {
      if (!document.hidden) ticks.value++;
    }, seconds * 1_000);
    return () => clearInterval(timer);
  }, [refresh.value]);
  // A dashboard's own range holds as long as the address names none.
  useEffect(() => {
    if (dashboard?.from && !param('from') && !param('to')) {
      const params = new URLSearchParams(location.peek().params);
      params.set('from', dashboard.from);
      navigate(location.peek().path, params, true);
    }
  }, [path, dashboard]);
  const names = Object.keys(BUILTIN);
  useKeys('Dashboards', names.map((name, i) => ({ keys: String(i + 1), label: BUILTIN[name]?.title ?? name, run: () => navigate(`/dashboards/${name}`, carried(['tz', 'q'])) })));

  const save = async (next: Dashboard) => {
    const id = await keep(next, editing?.id);
    setEditing(undefined);
    toast(`Saved “${next.title}”`);
    navigate(`/dashboards/own/${id}`, carried(KEPT));
  };
  const takeFile = async (input: HTMLInputElement) => {
    const chosen = input.files?.[0];
    input.value = '';
    if (!chosen) return;
    try {
      const read = readDashboard(JSON.parse(await chosen.text()));
      if (typeof read === 'string') toast(`Cannot import ${chosen.name}: ${read}`, true);
      else navigate(`/dashboards/own/${await keep(read)}`, carried(KEPT));
    } catch (error) {
      toast(`Cannot import ${chosen.name}: ${error instanceof Error ? error.message : error}`, true);
    }
  };
  const drop = async () => {
    if (!saved) return;
    if (!confirming) {
      setConfirming(true);
      setTimeout(() => setConfirming(false), 4_000);
      return;
    }
    setConfirming(false);
    try {
      await remove(saved.id);
      navigate('/dashboards/overview', carried(KEPT));
    } catch (error) {
      toast(`Cannot delete “${saved.name}”: ${error instanceof Error ? error.message : error}`, true);
    }
  };
  const link = (to: string, name: string, isActive: boolean, from?: string) => {
    const params = carried(['tz', 'q', 'refresh']);
    // Each of them opens with the range that suits it, unless the user has chosen one.
    if (dashboard?.from !== range.value.from) for (const [k, v] of carried(['from', 'to'])) params.set(k, v);
    else if (from) params.set('from', from);
    return <a key={to} href={href(to, params)} aria-current={isActive ? 'page' : undefined} onClick={(event) => follow(event, to, params)}>{name}</a>;
  };
  return (
    <main class="dashboards" id="main">
      <h1 class="offscreen">Dashboards</h1>
      <div class="ask">
        <SearchBox value={query.value} onSubmit={setQuery} problem={undefined} placeholder="Narrow the whole dashboard: namespace:shop   ( / )" />
        <TimePicker />
      </div>
      <div class="toolbar">
        <nav class="tabs" aria-label="Dashboards">
          {names.map((name) => link(`/dashboards/${name}`, BUILTIN[name]?.title ?? name, !isOwn && first === name, BUILTIN[name]?.from))}
          {own.value?.map((d) => link(`/dashboards/own/${d.id}`, d.name, d.id === second, d.body.from))}
        </nav>
        <span class="space" />
        {saved && canEdit.value && <button type="button" class="button" onClick={() => setEditing({ dashboard: saved.body, id: saved.id })}><Icon name="edit" />Edit</button>}
        <Menu label="More" align="right" button={<><Icon name="more" /><span class="wide-only">More</span></>}>
          {(close) => (
            <>
              {canEdit.value && <button type="button" class="item" onClick={() => { close(); setEditing({ dashboard: { title: 'New dashboard', panels: [] } }); }}>New dashboard</button>}
              {canEdit.value && dashboard && <button type="button" class="item" onClick={() => { close(); setEditing({ dashboard: { ...dashboard, title: `${dashboard.title} (copy)` } }); }}>Copy this one as my own</button>}
              {canEdit.value && <button type="button" class="item" onClick={() => { close(); file.current?.click(); }}>Import JSON…</button>}
              {dashboard && <button type="button" class="item" onClick={() => { close(); download(`${dashboard.title.toLowerCase().replace(/\W+/g, '-')}.json`, `${JSON.stringify(dashboard, null, 2)}\n`); }}>Export JSON</button>}
              {saved && canEdit.value && <button type="button" class="item bad" onClick={() => void drop()}>{confirming ? 'Delete: press again to be sure' : 'Delete'}</button>}
            </>
          )}
        </Menu>
        <input ref={file} type="file" accept="application/json,.json" class="offscreen" tabIndex={-1} aria-label="Dashboard file" onChange={(event) => void takeFile(event.currentTarget)} />
      </div>
      {dashboard
        ? <div class="grid" key={path} tabIndex={0} role="region" aria-label={dashboard.title}>{dashboard.panels.map((panel, i) => <section key={i} class={`tile tile-${panel.type}`} style={{ gridColumn: `span ${panel.width}` }} aria-label={panel.title}><One panel={panel} /></section>)}</div>
        : (!isOwn || own.value) && <Empty title="There is no such dashboard"><p>It may have been deleted. The ones that are there are above.</p></Empty>}
      {editing && <Editor dashboard={editing.dashboard} heading={editing.id ? 'Edit the dashboard' : 'New dashboard'} onSave={save} onClose={() => setEditing(undefined)} />}
    </main>
  );
}

function One({ panel }: { panel: Panel }) {
  switch (panel.type) {
    case 'figure': return <Figure panel={panel} />;
    case 'timeline': return <Timeline panel={panel} />;
    case 'lines': return <Lines panel={panel} />;
    case 'donut': return <Donut panel={panel} />;
    case 'top': return <Top panel={panel} />;
    case 'newest': return <Newest panel={panel} />;
    case 'streams': return <Streams panel={panel} />;
    case 'outputs': return <Outputs panel={panel} />;
    case 'throughput': return <Throughput panel={panel} />;
    case 'rules': return <RulesPanel panel={panel} />;
    case 'lag': return <Lag panel={panel} />;
  }
}
