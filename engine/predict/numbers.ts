// numbers.ts - random numbers, medians, and lines through measured points.

/** Numbers of about unit variance from a seed. */
export function noise(count: number, seed: number): Float32Array {
  let state = seed >>> 0;
  const uniform = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  return Float32Array.from({ length: count }, () => 2 * (uniform() + uniform() + uniform() - 1.5));
}

/** The middle one; of an even number the upper middle. */
export function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)];
}

/** The height at `x` of the line through neighbouring points; the last line goes on. */
export function lineAt(xs: readonly number[], ys: readonly number[], x: number): number {
  if (xs.length === 1) return ys[0];
  const after = xs.findIndex((other) => other >= x);
  const right = after === -1 ? xs.length - 1 : Math.max(after, 1);
  const [from, to] = [right - 1, right];
  const slope = Math.max(0, (ys[to] - ys[from]) / (xs[to] - xs[from])); // longer is never quicker
  return Math.max(0, ys[from] + slope * (x - xs[from]));
}

/** The area under those lines from 0 to `x`. */
export function areaTo(xs: readonly number[], ys: readonly number[], x: number): number {
  const points = [0, ...xs.filter((other) => other < x), x];
  let area = 0;
  for (let at = 1; at < points.length; at++) {
    const [from, to] = [points[at - 1], points[at]];
    area += (to - from) * (lineAt(xs, ys, from) + lineAt(xs, ys, to)) / 2;
  }
  return area;
}
