// Terminal colours (SGR escape sequences) in messages. Every colour is reduced to the sixteen of
// the palette, because those have a readable shade in both the light and the dark theme; a program
// that writes dark blue on its own black background would be unreadable on white.

/** A run of text in one style; `style` is a list of CSS classes, empty for plain text. */
export interface Segment {
  text: string;
  style: string;
}

const NAMES = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];
/** The palette's colours as most terminals draw them, to find the nearest one. */
const PALETTE: [number, number, number][] = [
  [0, 0, 0], [205, 49, 49], [13, 188, 121], [229, 229, 16], [36, 114, 200], [188, 63, 188], [17, 168, 205], [204, 204, 204],
];
// CSI sequences, OSC sequences (window titles, links), and cut or lone escapes.
const ESCAPE = /\u001b\[([0-9;:]*)([A-Za-z])|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)|\u001b(?:\[[0-9;:]*|[@-Z\\-_])?/g;

interface State {
  color: string;
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
}

const PLAIN: State = { color: '', bold: false, dim: false, italic: false, underline: false };

/** Whether the text has any escape sequence: most have none and need no work. */
export function hasAnsi(text: string): boolean {
  return text.includes('\u001b');
}

/** The text without escape sequences, for copying and for lists. */
export function stripAnsi(text: string): string {
  return hasAnsi(text) ? text.replace(ESCAPE, '') : text;
}

/** Cuts the text into styled runs. */
export function ansiSegments(text: string): Segment[] {
  const out: Segment[] = [];
  let state = PLAIN;
  let at = 0;
  const push = (end: number) => {
    if (end <= at) return;
    const style = classes(state);
    const last = out.at(-1);
    const piece = text.slice(at, end);
    if (last && last.style === style) last.text += piece;
    else out.push({ text: piece, style });
  };
  for (const match of text.matchAll(ESCAPE)) {
    push(match.index);
    at = match.index + match[0].length;
    if (match[2] === 'm') state = apply(state, match[1] ?? '');
  }
  push(text.length);
  return out;
}

function classes(state: State): string {
  const out: string[] = [];
  if (state.color) out.push(`ansi-${state.color}`);
  if (state.bold) out.push('ansi-bold');
  if (state.dim) out.push('ansi-dim');
  if (state.italic) out.push('ansi-italic');
  if (state.underline) out.push('ansi-underline');
  return out.join(' ');
}

function apply(before: State, parameters: string): State {
  const codes = parameters.split(/[;:]/).map(Number);
  let state = { ...before };
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i] ?? 0;
    if (code === 0) state = { ...PLAIN };
    else if (code === 1) state.bold = true;
    else if (code === 2) state.dim = true;
    else if (code === 3) state.italic = true;
    else if (code === 4) state.underline = true;
    else if (code === 22) state.bold = state.dim = false;
    else if (code === 23) state.italic = false;
    else if (code === 24) state.underline = false;
    else if (code === 39) state.color = '';
    else if (code >= 30 && code <= 37) state.color = NAMES[code - 30] ?? '';
    else if (code >= 90 && code <= 97) state.color = NAMES[code - 90] ?? '';
    else if (code === 38 || code === 48) {
      const [color, used] = extended(codes, i + 1);
      if (code === 38) state.color = color;
      i += used;
    }
  }
  return state;
}

/** A colour given as `5;n` or `2;r;g;b`, and how many codes it took. */
function extended(codes: number[], at: number): [string, number] {
  if (codes[at] === 2) return [nearest(codes[at + 1] ?? 0, codes[at + 2] ?? 0, codes[at + 3] ?? 0), 4];
  if (codes[at] !== 5) return ['', 0];
  const n = codes[at + 1] ?? 0;
  if (n < 16) return [NAMES[n % 8] ?? '', 2];
  if (n >= 232) return [n < 240 ? 'black' : 'white', 2];
  const cube = (part: number) => (part === 0 ? 0 : 55 + part * 40);
  return [nearest(cube(Math.floor((n - 16) / 36)), cube(Math.floor((n - 16) / 6) % 6), cube((n - 16) % 6)), 2];
}

function nearest(r: number, g: number, b: number): string {
  let best = 0;
  let least = Infinity;
  PALETTE.forEach(([pr, pg, pb], i) => {
    const distance = (r - pr) ** 2 + (g - pg) ** 2 + (b - pb) ** 2;
    if (distance < least) [best, least] = [i, distance];
  });
  return NAMES[best] ?? '';
}
