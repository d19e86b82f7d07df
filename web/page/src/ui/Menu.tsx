// A button that opens a panel under it. Escape, a press elsewhere, or `close` from inside closes it
// and gives the focus back.

import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

interface Props {
  /** The accessible name of the button. */
  label: string;
  /** What the button shows. */
  button: ComponentChildren;
  /** Which side of the button the panel is flush with. */
  align?: 'left' | 'right';
  class?: string;
  panelClass?: string;
  /** Lets the owner open it by a key. */
  opener?: { open?: () => void };
  children: (close: () => void) => ComponentChildren;
}

export function Menu({ label, button, align = 'left', class: className, panelClass, opener, children }: Props) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const trigger = useRef<HTMLButtonElement>(null);
  const close = () => {
    setOpen(false);
    trigger.current?.focus();
  };
  if (opener) opener.open = () => setOpen(true);
  // Before anything is painted: who opens it by a key types on at once.
  useLayoutEffect(() => {
    if (open) root.current?.querySelector<HTMLElement>('.panel [data-autofocus], .panel button, .panel a, .panel input')?.focus();
  }, [open]);
  useEffect(() => {
    if (!open) return;
    const onPress = (event: PointerEvent) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener('pointerdown', onPress, true);
    return () => document.removeEventListener('pointerdown', onPress, true);
  }, [open]);
  const onKeyDown = (event: KeyboardEvent) => {
    if (!open) return;
    if (event.key === 'Escape') {
      event.stopPropagation();
      event.preventDefault();
      close();
    } else if ((event.key === 'ArrowDown' || event.key === 'ArrowUp') && !(event.target instanceof HTMLInputElement && event.target.type !== 'checkbox')) {
      event.preventDefault();
      move(root.current, event.key === 'ArrowDown' ? 1 : -1);
    }
  };
  return (
    <div class={`menu ${className ?? ''}`} ref={root} onKeyDown={onKeyDown}>
      <button ref={trigger} type="button" class="button" aria-label={label} title={label} aria-expanded={open} aria-haspopup="dialog" onClick={() => setOpen(!open)}>
        {button}
      </button>
      {open && <div class={`panel ${align} ${panelClass ?? ''}`} role="dialog" aria-label={label}>{children(close)}</div>}
    </div>
  );
}

function move(root: HTMLElement | null, step: number): void {
  const items = [...(root?.querySelectorAll<HTMLElement>('.panel button, .panel a') ?? [])];
  const at = items.indexOf(document.activeElement as HTMLElement);
  items[(at + step + items.length) % items.length]?.focus();
}
