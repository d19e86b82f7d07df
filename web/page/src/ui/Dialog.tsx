// A modal dialog: the browser's own element, which keeps the focus inside and gives it back.

import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { Icon } from './icons';

interface Props {
  title: string;
  /** `drawer` fills the height at the right side. */
  kind?: 'box' | 'drawer';
  onClose: () => void;
  children: ComponentChildren;
}

export function Dialog({ title, kind = 'box', onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const element = dialog.current;
    if (element && !element.open) element.showModal();
    // While it is still in the document: only a dialog that is closed there gives the focus back.
    return () => element?.close();
  }, []);
  const onClick = (event: MouseEvent) => {
    // A press on the backdrop has the dialog itself as its target.
    if (event.target === dialog.current) onClose();
  };
  return (
    <dialog ref={dialog} class={kind} aria-label={title} onClose={onClose} onClick={onClick}>
      <div class="dialog-body">
        <header class="dialog-head">
          <h2>{title}</h2>
          <button type="button" class="button quiet" aria-label="Close" onClick={onClose}><Icon name="close" /></button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
