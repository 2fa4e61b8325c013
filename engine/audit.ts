// audit.ts - what the online audit says: sums of drawn (step, layer, KV head) to means with
// intervals. Lost mass is the exact attention probability that went to other tokens; output
// divergence is norm(output - exact) / norm(exact).
import { auditCount, auditSums } from "../ffi/constants.ts";
import type { StoreShape } from "./native_config.ts";
import type { Settings } from "./settings.ts";

/** A mean and the ends of its 95 % interval. */
export interface Estimate {
  /** Of the samples. */
  readonly mean: number;
  /** Lower end. */
  readonly low: number;
  /** Upper end. */
  readonly high: number;
}

/** What a sequence's kept steps lost, as far as they were audited. */
export interface AuditStats {
  /** Share of (step, layer, KV head) that is drawn. */
  readonly share: number;
  /** Those that were. */
  readonly samples: number;
  /** Exact attention probability that went to other tokens; null: fewer than two samples. */
  readonly lostMass: Estimate | null;
  /** norm(output - exact) / norm(exact) of a query head's output. */
  readonly outputDivergence: Estimate | null;
  /** Exact mass of the exact set over that of the best k tail tokens; null: no tail yet. */
  readonly chosenMass: number | null;
  /** The same by layer. */
  readonly layers: readonly {
    readonly lostMass: Estimate | null;
    readonly outputDivergence: Estimate | null;
  }[];
  /** Whether all of lostMass's interval is above auditWarn. */
  readonly warning: boolean;
}

const Z = 1.959964; // of a normal distribution, two-sided 95 %

/** Reads the sums [layers, kvHeads, auditCount] of a sequence. */
export function auditStats(
  sums: Float64Array,
  { layers, kvHeads }: StoreShape,
  { audit: share, auditWarn }: Settings,
): AuditStats {
  const layerSums = Array.from(
    { length: layers },
    (_, layer) =>
      total(sums.subarray(layer * kvHeads * auditCount, (layer + 1) * kvHeads * auditCount)),
  );
  const all = total(sums);
  const both = (of: readonly number[]) => ({
    lostMass: estimate(of, auditSums.lost, auditSums.lostSquared, share),
    outputDivergence: estimate(of, auditSums.divergence, auditSums.divergenceSquared, share),
  });
  const best = all[auditSums.best];
  const overall = both(all);
  return {
    share,
    samples: all[auditSums.samples],
    ...overall,
    chosenMass: best > 0 ? all[auditSums.chosen] / best : null,
    layers: layerSums.map(both),
    warning: auditWarn !== null && (overall.lostMass?.low ?? 0) > auditWarn,
  };
}

function total(sums: Float64Array): number[] {
  const all = new Array<number>(auditCount).fill(0);
  sums.forEach((value, at) => all[at % auditCount] += value);
  return all;
}

// The interval of a mean of n draws out of n / share, of which share 1 leaves nothing unknown.
function estimate(
  sums: readonly number[],
  of: number,
  squared: number,
  share: number,
): Estimate | null {
  const n = sums[auditSums.samples];
  if (n < 2) return null;
  const mean = sums[of] / n;
  if (share >= 1) return { mean, low: mean, high: mean };
  const variance = Math.max(0, sums[squared] - n * mean * mean) / (n - 1);
  const half = studentsT(n - 1) * Math.sqrt((1 - share) * variance / n);
  return { mean, low: Math.max(0, mean - half), high: mean + half };
}

// Two-sided 95 % of Student's distribution.
function studentsT(freedom: number): number {
  const table = [12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
  if (freedom <= table.length) return table[freedom - 1];
  return Z + (Z ** 3 + Z) / (4 * freedom); // .02 off at 11, less beyond
}
