// Making or changing a dashboard: its panels, each from a saved search or a query.

import { useEffect, useState } from 'preact/hooks';
import { loadSaved, savedSearches } from '../explore/Saved';
import { Dialog } from '../ui/Dialog';
import { Icon } from '../ui/icons';
import { KINDS, type Dashboard, type Panel } from './model';

interface Props {
  dashboard: Dashboard;
  heading: string;
  onSave: (dashboard: Dashboard) => Promise<void>;
  onClose: () => void;
}

/** A panel of another kind that keeps what the two have in common. */
function changed(panel: Panel, type: Panel['type']): Panel {
  const { title, q, width } = panel;
  const by = 'by' in panel && panel.by ? panel.by : 'service.name';
  const common = { title, width, ...(q && { q }) };
  if (type === 'figure') return { ...common, type, metric: 'metric' in panel ? panel.metric : 'count' };
  if (type === 'lines') return { ...common, type, metrics: ['count'] };
  if (type === 'top' || type === 'donut') return { ...common, type, by };
  if (type === 'timeline') return { ...common, type, by: 'log.level' };
  if (type === 'newest') return { ...common, type, size: 10 };
  return { ...common, type } as Panel;
}

export function Editor({ dashboard, heading, onSave, onClose }: Props) {
  const [title, setTitle] = useState(dashboard.title);
  const [panels, setPanels] = useState<Panel[]>(dashboard.panels);
  const [problem, setProblem] = useState('');
  useEffect(() => void loadSaved(), []);
  const set = (i: number, next: Partial<Panel>) => setPanels(panels.map((p, j) => (j === i ? ({ ...p, ...next } as Panel) : p)));
  const move = (i: number, by: number) => {
    const next = [...panels];
    const [moved] = next.splice(i, 1);
    if (moved) next.splice(i + by, 0, moved);
    setPanels(next);
  };
  const add = (q: string, name: string) => setPanels([...panels, { type: 'timeline', title: name, q, by: 'log.level', width: 6 }]);
  const submit = async (event: Event) => {
    event.preventDefault();
    try {
      await onSave({ ...dashboard, title: title.trim(), panels });
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <Dialog title={heading} onClose={onClose}>
      <form class="form editor" onSubmit={submit}>
        <label class="field"><span>Name</span><input required maxLength={200} value={title} onInput={(event) => setTitle(event.currentTarget.value)} /></label>
        <ol class="editor-panels">
          {panels.map((panel, i) => (
            <li key={i}>
              <fieldset>
                <legend class="offscreen">Panel {i + 1}</legend>
                <input aria-label="Title" placeholder="Title" value={panel.title} onInput={(event) => set(i, { title: event.currentTarget.value })} />
                <select aria-label="Kind" value={panel.type} onChange={(event) => setPanels(panels.map((p, j) => (j === i ? changed(p, event.currentTarget.value as Panel['type']) : p)))}>
                  {KINDS.map(([kind, name]) => <option key={kind} value={kind}>{name}</option>)}
                  {!KINDS.some(([kind]) => kind === panel.type) && <option value={panel.type}>{panel.type}</option>}
                </select>
                <input class="mono wide" aria-label="Query" placeholder="Query; empty is every line" spellcheck={false} value={panel.q ?? ''} onInput={(event) => set(i, { q: event.currentTarget.value })} />
                {'by' in panel && <input class="mono" aria-label="Field" placeholder="Field" spellcheck={false} value={panel.by ?? ''} onInput={(event) => set(i, { by: event.currentTarget.value } as Partial<Panel>)} />}
                {panel.type === 'figure' && <input class="mono" aria-label="Metric" placeholder="count, p95:took, unique:pod" spellcheck={false} value={panel.metric} onInput={(event) => set(i, { metric: event.currentTarget.value } as Partial<Panel>)} />}
                {panel.type === 'lines' && <input class="mono" aria-label="Metrics" placeholder="p50:took,p95:took" spellcheck={false} value={panel.metrics.join(',')} onInput={(event) => set(i, { metrics: event.currentTarget.value.split(',') } as Partial<Panel>)} />}
                <select aria-label="Width" value={panel.width} onChange={(event) => set(i, { width: Number(event.currentTarget.value) })}>
                  {[[2, '⅙'], [3, '¼'], [4, '⅓'], [6, '½'], [8, '⅔'], [9, '¾'], [12, 'full']].map(([w, name]) => <option key={w} value={w}>{name}</option>)}
                </select>
                <button type="button" class="act" aria-label="Up" disabled={i === 0} onClick={() => move(i, -1)}><span aria-hidden="true">↑</span></button>
                <button type="button" class="act" aria-label="Down" disabled={i === panels.length - 1} onClick={() => move(i, 1)}><span aria-hidden="true">↓</span></button>
                <button type="button" class="act" aria-label={`Remove ${panel.title}`} onClick={() => setPanels(panels.filter((_, j) => j !== i))}><Icon name="trash" /></button>
              </fieldset>
            </li>
          ))}
        </ol>
        <div class="editor-add">
          <button type="button" class="button" onClick={() => add('', 'Lines')}><Icon name="plus" />Panel</button>
          {(savedSearches.value ?? []).map((s) => (
            <button type="button" class="button" key={s.id} title={s.body.q} onClick={() => add(s.body.q, s.name)}><Icon name="star" />{s.name}</button>
          ))}
          {savedSearches.value?.length === 0 && <span class="dim small">Searches saved in Explore appear here as panels.</span>}
        </div>
        {problem && <p class="bad" role="alert">{problem}</p>}
        <div class="form-acts">
          <button type="button" class="button" onClick={onClose}>Cancel</button>
          <button type="submit" class="button primary" disabled={!title.trim() || !panels.length}>Save</button>
        </div>
      </form>
    </Dialog>
  );
}
