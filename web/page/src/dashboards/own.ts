// Own dashboards, as the server keeps them.

import { signal } from '@preact/signals';
import { get, Problem, send } from '../api/client';
import type { Saved } from '../api/types';
import { toast } from '../ui/toast';
import type { Dashboard } from './model';

export const own = signal<Saved<Dashboard & Record<string, unknown>>[] | undefined>(undefined);

export async function loadOwn(): Promise<void> {
  try {
    own.value = (await get<{ items: Saved<Dashboard & Record<string, unknown>>[] }>('dashboards', {})).items;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    own.value ??= [];
    toast(`Cannot list dashboards: ${error.message}`, true);
  }
}

/** Keeps a dashboard, in place of the one with this id if given. Gives its id. */
export async function keep(dashboard: Dashboard, id?: string): Promise<string> {
  const before = own.peek()?.find((d) => d.id === id);
  const body = { name: dashboard.title, description: dashboard.description, body: dashboard, version: before?.version };
  const saved = before
    ? await send<Saved>('PUT', `dashboards/${before.id}`, body)
    : await send<Saved>('POST', 'dashboards', { ...body, version: undefined });
  await loadOwn();
  return saved.id;
}

export async function remove(id: string): Promise<void> {
  await send('DELETE', `dashboards/${id}`);
  own.value = own.peek()?.filter((d) => d.id !== id);
}

/** Gives the text to the user as a file. */
export function download(name: string, content: string): void {
  const url = URL.createObjectURL(new Blob([content], { type: 'application/json' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
