// palette.ts - colours of the report as CSS variables, so that one SVG serves light and dark.
// Texts stand on grounds at 4.5 : 1 at least and marks at 3 : 1 (WCAG 2.2), in both schemes; a
// ramp goes from little, near the page's own ground, to much.

/** Colours of one scheme, each "#rrggbb". */
export interface Scheme {
  readonly ground: string;
  readonly ink: string;
  /** Text of less weight. */
  readonly quiet: string;
  /** Lines of grids and tables. */
  readonly line: string;
  readonly head: string;
  readonly link: string;
  /** One for each mode; with more modes they repeat with another symbol. */
  readonly mode: readonly string[];
  /** Steps of losses and of what is good, from little to much. */
  readonly loss: readonly string[];
  readonly good: readonly string[];
}

/** Steps of a ramp. */
export const RAMP_STEPS = 8;

/** The scheme of paper and of bright rooms. */
export const light: Scheme = {
  ...{ ground: "#ffffff", ink: "#1b1f24", quiet: "#56606b", line: "#d4d9df", head: "#f3f5f7" },
  link: "#0060a8",
  mode: ["#0065a3", "#c44e00", "#00805c", "#a8447e", "#7a5c00", "#5b4ba0", "#9b1c1c", "#3f5963"],
  loss: ["#fff7ec", "#fee8c8", "#fdd49e", "#fdbb84", "#fc9a6a", "#d7301f", "#b30000", "#7f0000"],
  good: ["#f7fbff", "#deebf7", "#c6dbef", "#9ecae1", "#7db8da", "#2171b5", "#08519c", "#08306b"],
};

/** The scheme of dark screens. */
export const dark: Scheme = {
  ...{ ground: "#14171b", ink: "#e7eaee", quiet: "#a5afba", line: "#3a424b", head: "#1f242a" },
  link: "#7cc0ff",
  mode: ["#5ab4f0", "#ff9a5c", "#3fd0a4", "#f09ac8", "#e6c34d", "#b3a5f5", "#ff8080", "#a9c1cc"],
  loss: ["#241a14", "#3c2415", "#592f14", "#7a3b12", "#9c4a14", "#f08c3a", "#fdb46b", "#ffe0b0"],
  good: ["#161d26", "#1a2b3d", "#1d3b57", "#1f4c73", "#225f92", "#5fa8e0", "#94c8f0", "#cfe8fb"],
};

/** The ink, of two, that stands out more from a step of a ramp. */
export function inkOn(ground: string, scheme: Scheme): string {
  return contrast(ground, scheme.ink) >= contrast(ground, scheme.ground)
    ? scheme.ink
    : scheme.ground;
}

/** Contrast of two colours as WCAG defines it, from 1 to 21. */
export function contrast(one: string, other: string): number {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

function luminance(color: string): number {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = parseInt(color.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** A scheme as declarations of CSS variables. */
export function declarations(scheme: Scheme): string {
  const ramp = (name: "loss" | "good") =>
    scheme[name].flatMap((color, step) => [
      `--${name}-${step}: ${color};`,
      `--${name}-ink-${step}: ${inkOn(color, scheme)};`,
    ]);
  const { ground, ink, quiet, line, head, link } = scheme;
  return [
    ...Object.entries({ ground, ink, quiet, line, head, link })
      .map(([name, color]) => `--${name}: ${color};`),
    ...scheme.mode.map((color, index) => `--mode-${index}: ${color};`),
    ...ramp("loss"),
    ...ramp("good"),
  ].join(" ");
}
