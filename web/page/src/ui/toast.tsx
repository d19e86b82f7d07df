// Short notes at the foot of the page, and the copying that causes most of them.

import { signal } from '@preact/signals';

const SHOWN_MS = 4_000;

const notes = signal<{ id: number; text: string; isError: boolean }[]>([]);
let next = 0;

export function toast(text: string, isError = false): void {
  const id = next++;
  notes.value = [...notes.value.slice(-2), { id, text, isError }];
  // An error stays longer: it has to be read.
  setTimeout(() => {
    notes.value = notes.value.filter((note) => note.id !== id);
  }, isError ? SHOWN_MS * 2 : SHOWN_MS);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {notes.value.map((note) => (
        <div key={note.id} class={note.isError ? 'toast bad' : 'toast'}>{note.text}</div>
      ))}
    </div>
  );
}

/** Puts text into the clipboard. Without the permission (plain HTTP on another host) the old way is tried. */
export async function copy(text: string, what: string): Promise<void> {
  try {
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else copyBySelection(text);
    toast(`Copied ${what}`);
  } catch {
    toast(`Cannot copy ${what}: the browser refuses`, true);
  }
}

function copyBySelection(text: string): void {
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'offscreen';
  (document.querySelector('dialog[open]') ?? document.body).append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  if (!done) throw new Error('refused');
}
