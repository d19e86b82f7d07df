// A list of any length of which only the rows in sight are in the document. Rows have their own
// height and may change it (opening a row); what is above the eye does not move by it.

import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from '@tanstack/virtual-core';
import type { ComponentChildren, RefObject } from 'preact';
import { useEffect, useLayoutEffect, useReducer, useRef } from 'preact/hooks';

/** What the owner may ask of the list. */
export interface ListHandle {
  /** Brings the row into sight, moving as little as possible. */
  reveal(index: number): void;
  toStart(): void;
  toEnd(): void;
  /** Whether the last row is in sight (within a row's height). */
  isAtEnd(): boolean;
}

interface Props<T> {
  items: T[];
  keyOf: (item: T) => string;
  /** Height of a row before it has been measured, in pixels. */
  estimate: number;
  render: (item: T, index: number) => ComponentChildren;
  /** What the list is, for those who cannot see it. */
  label: string;
  /** Attributes of the element that holds the rows, and nothing but rows. */
  attributes: Record<string, unknown>;
  /** Attributes of each row. */
  rowAttributes: (item: T, index: number) => Record<string, unknown>;
  onNearEnd?: () => void;
  onScroll?: () => void;
  handle?: { current: ListHandle | undefined };
  /** Stands above the rows and scrolls with them sideways only. */
  head?: ComponentChildren;
  foot?: ComponentChildren;
  scroller?: RefObject<HTMLDivElement | null>;
}

/** How many rows before the end more are asked for. */
const NEAR_END = 30;
const HEAD_PX = 30;

export function VirtualList<T>(props: Props<T>) {
  const own = useRef<HTMLDivElement>(null);
  const scroller = props.scroller ?? own;
  const [, rerender] = useReducer((n: number) => n + 1, 0);
  const instance = useRef<Virtualizer<HTMLDivElement, HTMLDivElement> | undefined>(undefined);
  const options = {
    count: props.items.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => props.estimate,
    getItemKey: (index: number) => {
      const item = props.items[index];
      return item === undefined ? index : props.keyOf(item);
    },
    overscan: 12,
    // A sticky head shifts the rows down by its height.
    scrollPaddingEnd: props.head ? HEAD_PX : 0,
    scrollToFn: elementScroll,
    observeElementRect,
    observeElementOffset,
    onChange: () => rerender(undefined as never),
  };
  instance.current ??= new Virtualizer<HTMLDivElement, HTMLDivElement>(options);
  const virtualizer = instance.current;
  virtualizer.setOptions(options);
  useLayoutEffect(() => virtualizer._didMount(), []);
  useLayoutEffect(() => virtualizer._willUpdate());

  const rows = virtualizer.getVirtualItems();
  const last = rows.at(-1)?.index ?? -1;
  useEffect(() => {
    if (last >= props.items.length - NEAR_END && props.items.length) props.onNearEnd?.();
  }, [last, props.items.length]);

  if (props.handle) {
    props.handle.current = {
      reveal: (index) => virtualizer.scrollToIndex(index, { align: 'auto' }),
      toStart: () => virtualizer.scrollToOffset(0),
      toEnd: () => {
        const element = scroller.current;
        if (element) element.scrollTop = element.scrollHeight;
      },
      isAtEnd: () => {
        const element = scroller.current;
        return !element || element.scrollHeight - element.scrollTop - element.clientHeight <= props.estimate;
      },
    };
  }
  return (
    <div class="scroller" ref={scroller} tabIndex={0} onScroll={props.onScroll} role="group" aria-label={props.label}>
      {props.head}
      <div class="rows" style={{ height: `${virtualizer.getTotalSize()}px` }} aria-label={props.label} {...props.attributes}>
        {rows.map((row) => {
          const item = props.items[row.index];
          if (item === undefined) return null;
          return (
            <div
              key={row.key as string}
              data-index={row.index}
              ref={(element) => {
                if (element) virtualizer.measureElement(element);
              }}
              style={{ transform: `translateY(${row.start}px)` }}
              {...props.rowAttributes(item, row.index)}
            >
              {props.render(item, row.index)}
            </div>
          );
        })}
      </div>
      {props.foot}
    </div>
  );
}
