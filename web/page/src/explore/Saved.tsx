// Saved searches: a name for a query with its columns and, when wanted, its range.

import { signal } from '@preact/signals';
import { useRef, useState } from 'preact/hooks';
import { get, Problem, send } from '../api/client';
import type { Saved } from '../api/types';
import { useKeys } from '../keyboard';
import { navigate } from '../state/location';
import { canEdit } from '../state/session';
import { carried, query, range } from '../state/view';
import { Dialog } from '../ui/Dialog';
import { Icon } from '../ui/icons';
import { Menu } from '../ui/Menu';
import { toast } from '../ui/toast';
import { columns, view } from './data';

export interface SearchBody {
  q: string;
  from?: string;
  to?: string;
  columns?: string[];
  view?: string;
}

export const savedSearches = signal<Saved<SearchBody>[] | undefined>(undefined);

export async function loadSaved(): Promise<void> {
  try {
    savedSearches.value = (await get<{ items: Saved<SearchBody>[] }>('saved-searches', {})).items;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    savedSearches.value ??= [];
    toast(`Cannot list saved searches: ${error.message}`, true);
  }
}

/** The address of a saved search. */
export function savedParams(body: SearchBody): URLSearchParams {
  const params = carried(['tz']);
  if (body.q) params.set('q', body.q);
  for (const name of ['from', 'to'] as const) {
    const value = body[name] ?? carried([name]).get(name);
    if (value && value !== 'now') params.set(name, value);
  }
  if (body.columns && body.columns.join(',') !== 'service.name,message') params.set('cols', body.columns.join(','));
  if (body.view) params.set('view', body.view);
  return params;
}

export function SavedSearches() {
  const [saving, setSaving] = useState(false);
  const opener = useRef<{ open?: () => void }>({}).current;
  useKeys('Saved searches', [
    { keys: 's', label: 'Save this search', run: () => { if (canEdit.peek()) setSaving(true); } },
    { keys: 'g s', label: 'Saved searches', run: () => { void loadSaved(); opener.open?.(); } },
  ]);
  return (
    <>
      <Menu label="Saved searches" align="right" opener={opener} button={<><Icon name="star" /><span class="wide-only">Saved</span></>} panelClass="saved">
        {(close) => <List close={close} onSave={() => setSaving(true)} />}
      </Menu>
      {saving && <SaveDialog onClose={() => setSaving(false)} />}
    </>
  );
}

function List({ close, onSave }: { close: () => void; onSave: () => void }) {
  const list = savedSearches.value;
  if (list === undefined) void loadSaved();
  const remove = async (saved: Saved<SearchBody>) => {
    try {
      await send('DELETE', `saved-searches/${saved.id}`);
      savedSearches.value = savedSearches.peek()?.filter((s) => s.id !== saved.id);
    } catch (error) {
      toast(`Cannot delete “${saved.name}”: ${error instanceof Error ? error.message : error}`, true);
    }
  };
  return (
    <>
      {canEdit.value && <button type="button" class="item" onClick={() => { close(); onSave(); }}><Icon name="plus" />Save this search…</button>}
      {list?.map((saved) => (
        <div class="saved-item" key={saved.id}>
          <button type="button" class="item" title={saved.body.q} onClick={() => { close(); navigate('/explore', savedParams(saved.body)); }}>
            <span>{saved.name}</span><span class="dim small">{saved.body.q || 'everything'}</span>
          </button>
          {canEdit.value && <button type="button" class="act" aria-label={`Delete ${saved.name}`} onClick={() => remove(saved)}><Icon name="trash" /></button>}
        </div>
      ))}
      {list && !list.length && <p class="dim small pad">Nothing saved yet. A saved search keeps the query, the columns and, if you like, the range; dashboards are made of them.</p>}
    </>
  );
}

function SaveDialog({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState(query.peek());
  const [withRange, setWithRange] = useState(false);
  const [problem, setProblem] = useState('');
  const submit = async (event: Event) => {
    event.preventDefault();
    const body: SearchBody = { q: query.peek(), columns: columns.peek() };
    if (withRange) Object.assign(body, range.peek());
    if (view.peek() === 'patterns') body.view = 'patterns';
    const same = savedSearches.peek()?.find((s) => s.name === name.trim());
    try {
      if (same) await send('PUT', `saved-searches/${same.id}`, { name: name.trim(), body, version: same.version });
      else await send('POST', 'saved-searches', { name: name.trim(), body });
      await loadSaved();
      toast(`Saved “${name.trim()}”`);
      onClose();
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  const exists = savedSearches.value?.some((s) => s.name === name.trim());
  return (
    <Dialog title="Save this search" onClose={onClose}>
      <form class="form" onSubmit={submit}>
        <label class="field"><span>Name</span><input autofocus required maxLength={200} value={name} onInput={(event) => setName(event.currentTarget.value)} /></label>
        <label class="check"><input type="checkbox" checked={withRange} onChange={(event) => setWithRange(event.currentTarget.checked)} />With the time range</label>
        <p class="dim small"><code>{query.value || '*'}</code></p>
        {problem && <p class="bad" role="alert">{problem}</p>}
        <div class="form-acts">
          <button type="button" class="button" onClick={onClose}>Cancel</button>
          <button type="submit" class="button primary" disabled={!name.trim()}>{exists ? 'Replace' : 'Save'}</button>
        </div>
      </form>
    </Dialog>
  );
}
