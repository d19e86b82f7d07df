// Stacked bars over time for uPlot, which knows only single bars: each series is drawn from the sum
// of those below it up to its own.

import type uPlot from 'uplot';

/** Counts of one series, a value a bucket. */
export interface Series {
  label: string;
  color: string;
  counts: number[];
}

/** Tops of the stacked bars, bottom series first. */
export function stack(series: Series[], n: number): number[][] {
  const below = new Array<number>(n).fill(0);
  return series.map(({ counts }) => counts.map((count, i) => (below[i] = (below[i] ?? 0) + count)));
}

/** Draws the stacked bars; a plugin, so that uPlot keeps axes, cursor and selection. */
export function barsPlugin(read: () => { starts: number[]; interval: number; series: Series[]; outline: number[] | undefined; outlineColor: string }): uPlot.Plugin {
  return {
    hooks: {
      draw: (u) => {
        const { starts, interval, series, outline, outlineColor } = read();
        const ctx = u.ctx;
        const tops = stack(series, starts.length);
        ctx.save();
        ctx.beginPath();
        ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
        ctx.clip();
        const zero = u.valToPos(0, 'y', true);
        const edge = (at: number) => Math.round(u.valToPos(at / 1_000, 'x', true));
        starts.forEach((start, i) => {
          const left = edge(start);
          // A pixel of air between bars, as long as bars are wide enough for it.
          const gap = edge(start + interval) - left > 4 ? devicePixelRatio : 0;
          const width = Math.max(edge(start + interval) - left - gap, 1);
          let bottom = zero;
          series.forEach((s, j) => {
            if (!s.counts[i]) return;
            // One line among millions must still be seen.
            const top = Math.min(Math.round(u.valToPos(tops[j]?.[i] ?? 0, 'y', true)), bottom - 1);
            ctx.fillStyle = s.color;
            ctx.fillRect(left, top, width, bottom - top);
            bottom = top;
          });
        });
        if (outline) drawOutline(ctx, starts, outline, outlineColor, edge, interval, (v) => u.valToPos(v, 'y', true));
        ctx.restore();
      },
    },
  };
}

/** The totals of another period as steps over the bars. */
function drawOutline(ctx: CanvasRenderingContext2D, starts: number[], values: number[], color: string, edge: (at: number) => number, interval: number, height: (value: number) => number): void {
  ctx.strokeStyle = color;
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.setLineDash([4 * devicePixelRatio, 2 * devicePixelRatio]);
  ctx.beginPath();
  starts.forEach((start, i) => {
    const y = height(values[i] ?? 0);
    if (i === 0) ctx.moveTo(edge(start), y);
    else ctx.lineTo(edge(start), y);
    ctx.lineTo(edge(start + interval), y);
  });
  ctx.stroke();
}
