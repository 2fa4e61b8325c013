// calibrate.ts - what rules need to know of a head, from the profile's text: second moments of its
// keys, values and queries.
import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { centred } from "../../engine/profile_measure.ts";
import type { HeadCapture } from "./capture.ts";

/** Step of the uniform quantiser of a unit Gaussian that leaves least, 0 to 4 bits (Max 1960). */
export const STEP = [0, 1.596, 0.9957, 0.586, 0.335];
/** What it leaves of the variance. */
export const LEFT = [1, 0.363, 0.119, 0.037, 0.012];

/** Eigenvectors by falling variance. */
export interface Eigen {
  /** [headDim, headDim]. */
  readonly rows: Float64Array;
  readonly variances: Float64Array;
}

/** One side of one head. */
export interface Calibration {
  readonly side: "keys" | "values";
  /** Of each channel, around the page's mean [headDim]. */
  readonly variances: Float64Array;
  /** Query energy times key variance of the channel's rope pair [headDim]; keys alone. */
  readonly pairEnergy: Float64Array;
  /** Place of the head among all, 0 where keys stray most, below 1. */
  rank: number;
  /** E|q|^2 E|key - page mean|^2, by which heads are ranked; 0 for values. */
  readonly stray: number;
  eigen(): Eigen;
  /** The first eigenvectors of the queries' second moment [count, headDim]. */
  directions(count: number): Float64Array;
}

/** Both sides of every head, in order. */
export function calibrate(heads: Iterable<HeadCapture>, neighbours: boolean) {
  const sides = [...heads].map((head) => ({
    keys: sideOf(head, "keys", neighbours),
    values: sideOf(head, "values", neighbours),
  }));
  const worst = sides.map(({ keys }) => keys).sort((a, b) => b.stray - a.stray);
  worst.forEach((keys, place) => keys.rank = place / worst.length);
  return sides;
}

function sideOf(head: HeadCapture, side: "keys" | "values", neighbours: boolean): Calibration {
  const { headDim, tokens, queries } = head;
  const shape = { layers: 1, kvHeads: 1, queryHeads: 1, headDim };
  const covariance = moments(centred(head[side], 0, tokens, shape), headDim);
  const diagonal = (matrix: Float64Array) =>
    Float64Array.from({ length: headDim }, (_, i) => matrix[i * headDim + i]);
  const variances = diagonal(covariance);
  const ofQueries = moments(Float64Array.from(queries.flatMap((step) => [...step])), headDim);
  const energies = diagonal(ofQueries);
  const sum = (x: Float64Array) => x.reduce((all, each) => all + each, 0);
  const pair = (i: number) =>
    neighbours ? i ^ 1 : i < headDim / 2 ? i + headDim / 2 : i - headDim / 2;
  const ofPair = (x: Float64Array, i: number) => x[i] + x[pair(i)];
  let own: Eigen | null = null, asked: Eigen | null = null;
  return {
    ...{ side, variances, rank: 1, stray: side === "keys" ? sum(energies) * sum(variances) : 0 },
    pairEnergy: variances.map((_, i) => ofPair(energies, i) * ofPair(variances, i)),
    eigen: () => own ??= eigen(covariance, headDim),
    directions: (count) => {
      if (count === 0) return new Float64Array(0);
      asked ??= eigen(ofQueries, headDim);
      return asked.rows.slice(0, count * headDim);
    },
  };
}

// Mean of x x^T over rows [*, dim].
function moments(rows: Float64Array, dim: number): Float64Array {
  const sums = new Float64Array(dim * dim);
  for (let at = 0; at < rows.length; at += dim) {
    for (let i = 0; i < dim; i++) {
      for (let j = 0; j < dim; j++) sums[i * dim + j] += rows[at + i] * rows[at + j];
    }
  }
  const count = rows.length / dim;
  return sums.map((sum) => sum / count);
}

function eigen(covariance: Float64Array, dim: number): Eigen {
  const matrix = Matrix.from1DArray(dim, dim, Array.from(covariance));
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(matrix, {
    assumeSymmetric: true,
  });
  const order = realEigenvalues.map((_, at) => at)
    .sort((a, b) => realEigenvalues[b] - realEigenvalues[a] || a - b);
  const most = Math.max(...realEigenvalues, 1e-30);
  const rows = new Float64Array(dim * dim);
  order.forEach((column, row) => {
    for (let i = 0; i < dim; i++) rows[row * dim + i] = eigenvectorMatrix.get(i, column);
  });
  const variances = order.map((at) => Math.max(realEigenvalues[at], most * 1e-12));
  return { rows, variances: Float64Array.from(variances) };
}

/** `floor` planes for each channel, and `more` in all where each next one gains most. */
export function planesByGain(gains: Float64Array, floor: number, more: number): Uint8Array {
  const planes = new Uint8Array(gains.length).fill(floor);
  for (let plane = 0; plane < more; plane++) {
    let best = -1, most = -1;
    gains.forEach((of, i) => {
      if (planes[i] === LEFT.length - 1) return;
      const gain = of * (LEFT[planes[i]] - LEFT[planes[i] + 1]);
      if (gain > most) [best, most] = [i, gain];
    });
    planes[best]++;
  }
  return planes;
}
