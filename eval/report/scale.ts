// scale.ts - values to places on a logarithmic axis and to steps of a colour ramp.
import { powerOfTen } from "./numbers.ts";
import { RAMP_STEPS } from "./palette.ts";

/**
 * What logarithmic axes and ramps draw in place of smaller values, zero and below included:
 * nats, shares of mass, or a relative error. Logits are f32: what they tell apart is about this.
 */
export const FLOOR = 1e-6;

/** A value as a logarithmic axis draws it. */
export function onLogAxis(value: number): number {
  return Math.max(value, FLOOR);
}

/** Exponents of the powers of ten around values, as a logarithmic axis draws them. */
export function decadesAround(values: readonly number[]): { low: number; high: number } {
  const drawn = values.filter(Number.isFinite).map(onLogAxis);
  if (drawn.length === 0) return { low: Math.log10(FLOOR), high: 0 };
  // A power of ten has a logarithm that may be off by a rounding.
  const low = Math.floor(Math.log10(Math.min(...drawn)) + 1e-9);
  const high = Math.ceil(Math.log10(Math.max(...drawn)) - 1e-9);
  return { low, high: Math.max(high, low + 1) };
}

/** Steps of colour: step i holds what is at most borders[i], the last all above. */
export interface Scale {
  readonly ramp: "loss" | "good";
  readonly borders: readonly number[];
  /** What the legend says of each step; one more than borders. */
  readonly labels: readonly string[];
}

/** A scale of losses, in steps of equal ratio that cover the values. */
export function lossScale(values: readonly number[]): Scale {
  const { low, high } = decadesAround(values);
  // Two steps a power of ten where the ramp has the colours, else one; the lowest are merged.
  const borders: number[] = [];
  for (let exponent = low; exponent <= high; exponent++) {
    borders.push(10 ** exponent);
    if (exponent < high && 2 * (high - low) < RAMP_STEPS) borders.push(3 * 10 ** exponent);
  }
  const kept = borders.slice(1, -1).slice(-(RAMP_STEPS - 1));
  return scaleOf("loss", kept, lossText);
}

// Borders are powers of ten, or three times one.
function lossText(border: number): string {
  const exponent = Math.floor(Math.log10(border) + 1e-9);
  const times = Math.round(border / 10 ** exponent);
  return times === 1 ? powerOfTen(exponent) : `${times} × ${powerOfTen(exponent)}`;
}

/** A scale of shares in fifths, with all of it apart. */
export function shareScale(): Scale {
  const labels = ["to 20", "to 40", "to 60", "to 80", "below 100", "100"]
    .map((text) => `${text}\u00a0%`);
  return { ramp: "good", borders: [0.2, 0.4, 0.6, 0.8, 1 - Number.EPSILON], labels };
}

/** A scale of shares that is finer close to 1, as masses are. */
export function massScale(): Scale {
  return scaleOf(
    "good",
    [0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999],
    (share) => `${Number((100 * share).toFixed(1))}\u00a0%`,
  );
}

/** Index of the ramp's colour for a value: the steps are spread over the whole ramp. */
export function colorOf({ borders }: Scale, value: number): number {
  const above = borders.findIndex((border) => value <= border);
  return spread(above === -1 ? borders.length : above, borders.length);
}

/** Index of the ramp's colour for a step. */
export function spread(step: number, last: number): number {
  return last === 0 ? RAMP_STEPS - 1 : Math.round(step * (RAMP_STEPS - 1) / last);
}

function scaleOf(
  ramp: Scale["ramp"],
  borders: readonly number[],
  text: (border: number) => string,
): Scale {
  const last = borders.length === 0 ? "all" : `above ${text(borders[borders.length - 1])}`;
  return { ramp, borders, labels: [...borders.map((border) => `to ${text(border)}`), last] };
}
