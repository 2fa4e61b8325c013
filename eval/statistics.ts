// statistics.ts - how sure a figure is.
import { Draws } from "./draws.ts";
import type { Interval } from "./rows.ts";

const Z = 1.959964; // of a normal distribution, two-sided 95 %
const RESAMPLES = 1000;

/** Mean, or NaN of nothing. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The smallest value that at least `share` of the values do not exceed. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

/** Wilson's interval of a share of `n` trials. */
export function wilson(successes: number, n: number): Interval {
  const p = successes / n, z2 = Z * Z / n;
  const middle = (p + z2 / 2) / (1 + z2);
  const half = Z / (1 + z2) * Math.sqrt(p * (1 - p) / n + z2 / (4 * n));
  return { low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
}

/** Interval of a statistic of documents, by drawing as many of them again, with a seed. */
export function bootstrap<T>(
  documents: readonly T[],
  statistic: (documents: readonly T[]) => number,
  seed: number,
): Interval {
  const draws = new Draws(seed);
  const values = Array.from(
    { length: RESAMPLES },
    () => statistic(documents.map(() => draws.of(documents))),
  );
  return { low: quantile(values, 0.025), high: quantile(values, 0.975) };
}

/** KL(p || q) in nats of the distributions that logits (vocabulary) stand for, in float64. */
export function divergence(p: Float32Array, q: Float32Array): number {
  const [ofP, ofQ] = [normaliser(p), normaliser(q)];
  let sum = 0;
  for (let i = 0; i < p.length; i++) {
    const logP = p[i] - ofP;
    sum += Math.exp(logP) * (logP - (q[i] - ofQ));
  }
  return Math.max(0, sum); // rounding alone can bring it below
}

/** log of the sum of exp of logits (vocabulary). */
export function normaliser(logits: Float32Array): number {
  let most = -Infinity;
  for (const logit of logits) most = Math.max(most, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - most);
  return most + Math.log(sum);
}
