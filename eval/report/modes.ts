// modes.ts - how modes are told apart in all plots: a colour and an outline each.
import type { EvalReport } from "../rows.ts";
import { escape } from "./html.ts";
import { light } from "./palette.ts";

/** A mode in the plots. */
export interface ModeLook {
  readonly mode: string;
  /** A CSS colour. */
  readonly color: string;
  /** Outline of its symbol as an SVG path. */
  readonly outline: string;
}

// Outlines in a box of 12 by 12, of about equal weight; the same in plots and legends.
const outlines: readonly string[] = [
  "M6 0.5A5.5 5.5 0 1 1 6 11.5A5.5 5.5 0 1 1 6 0.5Z", // circle
  "M1 1H11V11H1Z", // square
  "M6 0.5L12 11.5H0Z", // triangle
  "M6 0L12 6L6 12L0 6Z", // diamond
  "M0 0.5H12L6 11.5Z", // triangle on its tip
  "M4 0H8V4H12V8H8V12H4V8H0V4H4Z", // cross
  "M0 0.5L6 4L12 0.5V11.5L6 8L0 11.5Z", // bow tie
];

/** The modes of a report in the order in which they first come, with their looks. */
export function modeLooks({ rows, places, heads }: EvalReport): ModeLook[] {
  const modes = [...new Set([...rows, ...places, ...heads].map(({ mode }) => mode))];
  const colors = light.mode.length; // 8 colours and 7 symbols meet again after 56 modes
  return modes.map((mode, index) => ({
    mode,
    color: `var(--mode-${index % colors})`,
    outline: outlines[index % outlines.length],
  }));
}

/** A legend of modes. */
export function modeLegend(looks: readonly ModeLook[]): string {
  const items = looks.map(({ mode, color, outline }) =>
    `<li><svg viewBox="0 0 12 12" width="12" height="12" fill="${color}" aria-hidden="true">` +
    `<path d="${outline}"/></svg> ${escape(mode)}</li>`
  );
  return `<ul class="legend">${items.join("")}</ul>`;
}
