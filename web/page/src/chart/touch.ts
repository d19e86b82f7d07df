// Fingers on a chart: one that moves sideways brushes over a part, two that spread or close zoom.
// Up and down is the page's (`touch-action: pan-y` on the plot).

import type uPlot from 'uplot';

/** A range of time, in milliseconds since 1970. */
export interface Part {
  from: number;
  to: number;
}

/** The places of two fingers on the plot, in pixels from its left edge, the left one first. */
export type Fingers = [number, number];

/** Less than this is a tap. */
const MOVED = 10;
/** Two fingers are never nearer to each other than this: a zoom has an end. */
const APART = 24;

/**
 * The range after two fingers went from `before` to `now` on a plot of `width` pixels that showed
 * `shown`: what was under a finger still is.
 */
export function pinched(shown: Part, width: number, before: Fingers, now: Fingers): Part {
  const scale = Math.max(now[1] - now[0], APART) / Math.max(before[1] - before[0], APART);
  const span = shown.to - shown.from;
  const first = shown.from + (before[0] / width) * span;
  const from = first - (now[0] / width) * (span / scale);
  return { from, to: from + span / scale };
}

/** Lets fingers choose a part of the chart, which `onSelect` gets when they are lifted. */
export function touchPlugin(shown: () => Part, onSelect: () => ((from: number, to: number) => void) | undefined): uPlot.Plugin {
  return { hooks: { ready: (u) => listen(u, shown, onSelect) } };
}

function listen(u: uPlot, shown: () => Part, onSelect: () => ((from: number, to: number) => void) | undefined) {
  const fingers = new Map<number, { start: number; at: number }>();
  const place = (event: PointerEvent) => event.clientX - u.over.getBoundingClientRect().left;
  const width = () => u.over.clientWidth;
  const canvas = u.root.querySelector('canvas');
  const both = (): [Fingers, Fingers] | undefined => {
    const [a, b] = [...fingers.values()].sort((one, other) => one.start - other.start);
    return a && b ? [[a.start, b.start], [Math.min(a.at, b.at), Math.max(a.at, b.at)]] : undefined;
  };
  const clear = () => {
    fingers.clear();
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    if (canvas) canvas.style.transform = '';
  };
  u.over.addEventListener('pointerdown', (event) => {
    if (event.pointerType !== 'touch' || !onSelect() || fingers.size === 2) return;
    u.over.setPointerCapture(event.pointerId);
    const at = place(event);
    fingers.set(event.pointerId, { start: at, at });
    // The second finger begins something else.
    if (fingers.size === 2) {
      u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      for (const finger of fingers.values()) finger.start = finger.at;
    }
  });
  u.over.addEventListener('pointermove', (event) => {
    const finger = fingers.get(event.pointerId);
    if (!finger) return;
    finger.at = Math.min(Math.max(place(event), 0), width());
    const pair = both();
    if (!pair) {
      const left = Math.min(finger.start, finger.at);
      const chosen = Math.abs(finger.at - finger.start);
      if (chosen >= MOVED) u.setSelect({ left, top: 0, width: chosen, height: u.over.clientHeight }, false);
    } else if (canvas) {
      // What the range will be, before anything is asked for it.
      const [before, now] = pair;
      const scale = Math.max(now[1] - now[0], APART) / Math.max(before[1] - before[0], APART);
      const edge = u.bbox.left / devicePixelRatio;
      canvas.style.transformOrigin = '0 0';
      canvas.style.transform = `translateX(${edge + now[0] - scale * (edge + before[0])}px) scaleX(${scale})`;
    }
  });
  const lift = (event: PointerEvent) => {
    const finger = fingers.get(event.pointerId);
    if (!finger) return;
    const pair = both();
    const { from, to } = shown();
    const at = (x: number) => from + (x / width()) * (to - from);
    clear();
    if (event.type === 'pointercancel') return;
    if (pair) {
      const part = pinched({ from, to }, width(), ...pair);
      onSelect()?.(part.from, part.to);
    } else if (Math.abs(finger.at - finger.start) >= MOVED) {
      onSelect()?.(at(Math.min(finger.start, finger.at)), at(Math.max(finger.start, finger.at)));
    }
  };
  u.over.addEventListener('pointerup', lift);
  u.over.addEventListener('pointercancel', lift);
}
