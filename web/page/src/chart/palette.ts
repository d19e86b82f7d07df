// Colours of charts, read from the style sheet so that charts follow the theme.

import { levelOf } from '../text/document';

/** The colour of a series: a level's own, else one of the palette by its place. */
export function seriesColor(key: string | null, index: number, isLevel: boolean): string {
  const styles = getComputedStyle(document.documentElement);
  const name = isLevel ? `--level-${levelOf(key)}` : `--series-${index % 8}`;
  return resolveColor(styles.getPropertyValue(name).trim());
}

export function themeColor(name: string): string {
  return resolveColor(getComputedStyle(document.documentElement).getPropertyValue(name).trim());
}

let probe: HTMLElement | undefined;

/** `light-dark(…)` as the one of its two colours that is in force: a canvas cannot read it. */
function resolveColor(value: string): string {
  if (!value.includes('light-dark')) return value;
  if (!probe) {
    probe = document.createElement('span');
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = value;
  return getComputedStyle(probe).color;
}
