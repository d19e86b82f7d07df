// The head of the list: names of the columns, moved by dragging or by keys, and removed.

import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { setColumns, shortName } from '../explore/Facets';
import { isAscending } from '../explore/data';
import { setParams } from '../state/location';
import { Icon } from '../ui/icons';

export function ColumnHead({ columns, template }: { columns: string[]; template: string }) {
  const [over, setOver] = useState(-1);
  const moved = useRef<HTMLElement | undefined>(undefined);
  // A column that a key moves keeps the focus, also where a browser takes it from an element that moves.
  useLayoutEffect(() => {
    moved.current?.focus();
    moved.current = undefined;
  }, [columns]);
  const move = (from: number, to: number, by?: HTMLElement) => {
    if (from === to || to < 0 || to >= columns.length) return;
    moved.current = by;
    const next = [...columns];
    const [name] = next.splice(from, 1);
    if (name !== undefined) next.splice(to, 0, name);
    setColumns(next);
  };
  return (
    <div class="line head" style={{ gridTemplateColumns: template }}>
      <span />
      <button type="button" class="cell time head-sort" title="Turn the order round" aria-label={`Time, ${isAscending.value ? 'oldest' : 'newest'} first; turn round`} onClick={() => setParams({ sort: isAscending.value ? undefined : 'asc' })}>
        Time {isAscending.value ? '↑' : '↓'}
      </button>
      <span class="cell level">Level</span>
      {columns.map((name, i) => (
        <span
          key={name} class={over === i ? 'cell head-cell over' : 'cell head-cell'} draggable
          onDragStart={(event) => event.dataTransfer?.setData('text/column', String(i))}
          onDragOver={(event) => { event.preventDefault(); setOver(i); }}
          onDragLeave={() => setOver(-1)}
          onDrop={(event) => { event.preventDefault(); setOver(-1); move(Number(event.dataTransfer?.getData('text/column')), i); }}
        >
          <button
            type="button" class="head-name" title={`${name}: drag, or Alt+arrows, to move`} aria-label={`Column ${shortName(name)}; Alt and arrow keys move it`}
            onKeyDown={(event) => {
              if (!event.altKey || !/^Arrow(Left|Right)$/.test(event.key)) return;
              event.preventDefault();
              move(i, event.key === 'ArrowLeft' ? i - 1 : i + 1, event.currentTarget);
            }}
          >
            {shortName(name)}
          </button>
          {columns.length > 1 && <button type="button" class="act" aria-label={`Remove the column ${shortName(name)}`} title="Remove" onClick={() => setColumns(columns.filter((c) => c !== name))}><Icon name="close" /></button>}
        </span>
      ))}
    </div>
  );
}
