// Keys of the page. Views register what they can do while they are shown; the help dialog lists
// exactly that. Keys with a modifier are left to the browser.

import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { shortcuts } from './state/session';

export interface Key {
  /** `j`, `?`, `ArrowDown`, or two with a space between (`g d`). */
  keys: string;
  /** What it does, for the help dialog. */
  label: string;
  /** Returns false when it had nothing to do, and the browser shall have the key. */
  run: () => unknown;
}

interface Group {
  title: string;
  keys: Key[];
}

/** The groups in force, those of the innermost view last. */
export const groups = signal<Group[]>([]);

/** How long the first key of two waits for the second. */
const SEQUENCE_MS = 1_200;

let pending = '';
let pendingSince = 0;

/** Makes the keys work while the component is there. `keys` is read at each press. */
export function useKeys(title: string, keys: Key[]): void {
  useEffect(() => {
    const group = { title, keys };
    groups.value = [...groups.peek(), group];
    return () => {
      groups.value = groups.peek().filter((other) => other !== group);
    };
  }, []);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

export function startKeyboard(): void {
  window.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (shortcuts.value === 'off') return;
    // A dialog has the keyboard for itself.
    if (document.querySelector('dialog[open]')) return;
    // Enter and space on a button or link press it.
    const onControl = event.target instanceof HTMLElement && event.target.closest('button, a, summary');
    if (onControl && (event.key === 'Enter' || event.key === ' ')) return;
    const two = performance.now() - pendingSince < SEQUENCE_MS && pending ? `${pending} ${event.key}` : '';
    pending = '';
    const all = groups.value.flatMap((group) => group.keys).reverse();
    const key = all.find((k) => k.keys === two) ?? all.find((k) => k.keys.split(' / ').includes(event.key));
    if (key) {
      if (key.run() !== false) event.preventDefault();
      return;
    }
    if (all.some((k) => k.keys.startsWith(`${event.key} `))) {
      pending = event.key;
      pendingSince = performance.now();
    }
  });
}
