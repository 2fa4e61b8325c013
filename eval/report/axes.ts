// axes.ts - what the axes of all plots share: their colours and sizes of text, and names.
import { clean } from "./html.ts";
import { powerOfTen } from "./numbers.ts";
import { FLOOR } from "./scale.ts";

/** Pixels of text in plots. */
export const TEXT_PIXELS = 12;

const INK = "var(--ink)";

/** Looks of an axis with a name along it. */
export function axis(name: string, gap: number) {
  return {
    name,
    nameLocation: "middle",
    nameGap: gap,
    nameTextStyle: { color: INK, fontSize: TEXT_PIXELS },
    axisLabel: { color: INK, fontSize: TEXT_PIXELS, hideOverlap: true },
    axisLine: { show: true, lineStyle: { color: "var(--quiet)" }, onZero: false },
    axisTick: { show: true, lineStyle: { color: "var(--quiet)" } },
    splitLine: { show: true, lineStyle: { color: "var(--line)" } },
  };
}

/** Looks of an axis of categories; names are cleaned, and cut where they are too long. */
export function categories(name: string, gap: number, names: readonly string[], width?: number) {
  const looks = axis(name, gap);
  return {
    ...looks,
    type: "category",
    data: names.map(clean),
    splitLine: { show: false },
    axisTick: { show: false },
    axisLabel: { ...looks.axisLabel, ...(width ? { width, overflow: "truncate" } : {}) },
  };
}

/** A logarithmic axis from one power of ten to another; the floor stands for all below. */
export function logAxis(name: string, gap: number, { low, high }: { low: number; high: number }) {
  const looks = axis(name, gap);
  return {
    ...looks,
    ...{ type: "log", min: 10 ** low, max: 10 ** high },
    axisLabel: { ...looks.axisLabel, formatter: logLabel },
  };
}

/** The label of a power of ten on a logarithmic axis. */
export function logLabel(value: number): string {
  const power = powerOfTen(Math.round(Math.log10(value)));
  return value <= FLOOR * (1 + 1e-9) ? `≤ ${power}` : power;
}
