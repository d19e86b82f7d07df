// The page's icons, drawn on a 16 × 16 grid. They are decoration: the control that holds one has a
// name of its own.

const PATHS: Record<string, string> = {
  search: 'M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.4 10.4 14 14',
  clock: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2ZM8 4.5V8l2.3 1.6',
  refresh: 'M13.2 6A5.5 5.5 0 1 0 13.5 9M13.5 2.5V6H10',
  chevron: 'm4 6 4 4 4-4',
  right: 'm6 4 4 4-4 4',
  left: 'm10 4-4 4 4 4',
  plus: 'M8 3v10M3 8h10',
  minus: 'M3 8h10',
  zoomin: 'M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.4 10.4 14 14M7 5v4M5 7h4',
  zoomout: 'M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.4 10.4 14 14M5 7h4',
  close: 'm4 4 8 8M12 4l-8 8',
  copy: 'M5.5 5.5h7v7h-7zM3.5 10.5v-7h7',
  filter: 'M2.5 3.5h11L9.5 8v4.5l-3-1.5V8z',
  columns: 'M2.5 3h11v10h-11zM6.2 3v10M9.8 3v10',
  star: 'm8 2 1.8 3.8 4.2.5-3.1 2.9.8 4.1L8 11.2l-3.7 2.1.8-4.1L2 6.3l4.2-.5z',
  download: 'M8 2.5v7M5 7l3 3 3-3M3 13h10',
  link: 'M6.5 9.5 9.5 6.5M7 4.5l1-1a3 3 0 0 1 4.3 4.3l-1 1M9 11.5l-1 1a3 3 0 0 1-4.3-4.3l1-1',
  context: 'M3 3.5h10M3 6.5h6M2 9.5h12M3 12.5h8',
  help: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2ZM6.2 6.3A1.9 1.9 0 1 1 8 8.3v.9M8 11.3v.2',
  sun: 'M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M12.6 3.4l-.7.7M4.1 11.9l-.7.7',
  moon: 'M12.8 9.7A5.2 5.2 0 0 1 6.3 3.2 5.2 5.2 0 1 0 12.8 9.7Z',
  system: 'M2.5 3h11v7.5h-11zM6 13h4M8 10.5V13',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  play: 'M5 3.5v9l7.5-4.5z',
  trash: 'M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.6 9h5.8l.6-9',
  wrap: 'M2.5 4h11M2.5 8h8.5a2 2 0 0 1 0 4H8.5M10 10.5 8.5 12 10 13.5M2.5 12h3',
  sidebar: 'M2.5 3h11v10h-11zM6.5 3v10',
  chart: 'M3 13V8M6.3 13V4M9.7 13V6.5M13 13V3',
  more: 'M3.5 8h.01M8 8h.01M12.5 8h.01',
  compare: 'M2.5 11 6 6l3 3 4.5-6M2.5 13.5 6 10',
  edit: 'm3 13 .7-3L10.5 3 13 5.5 6 12.3z',
};

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: string }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      <path d={PATHS[name] ?? ''} fill="none" stroke="currentColor" stroke-width="1.4" stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}

/** The mark of the product: water leaving a mill. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" focusable="false">
      <path d="M3 7c3-3 6 3 9 0s6 3 9 0M3 12.5c3-3 6 3 9 0s6 3 9 0M3 18c3-3 6 3 9 0s6 3 9 0" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round" />
    </svg>
  );
}
