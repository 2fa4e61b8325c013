// profile_values.ts - the basis and the planes of one head's values (METHOD section 7, fourth run).
// The basis is the head's own: eigenvectors of the covariance of (value - page mean). Planes go
// where the next bit removes most of the variance.
import { EigenvalueDecomposition, Matrix } from "ml-matrix";

/** Values of one head in its own basis. */
export interface ValueCode {
  /** Orthonormal rows [headDim, headDim], by falling variance. */
  readonly basis: Float32Array;
  /** Row of the basis that each plane codes [planes]; a row's planes stand together. */
  readonly channel: Uint32Array;
  /** Weight of each plane [planes]; those of a row fall by halves. */
  readonly weight: Float32Array;
  /** Share of the variance that the planes take away, for a Gaussian. */
  readonly explained: number;
}

// Of a Gaussian of variance 1: what uniform levels of so many bits leave of the variance, and the
// step between two levels that leaves least (METHOD section 7).
const LEFT = [1, 0.363, 0.119, 0.037, 0.012];
const STEP = [0, 1.596, 0.9957, 0.586, 0.335];

/** Planes of a value's code: a quarter of a bit a channel. */
export function planesOf(headDim: number): number {
  return headDim / 4;
}

/** Codes values of `covariance` (headDim, headDim), row-major, with `planes` planes. */
export function valueCode(covariance: Float64Array, headDim: number, planes: number): ValueCode {
  const { variances, rows, moves } = eigen(covariance, headDim);
  const bits = allocate(variances, planes);
  const channel: number[] = [];
  const weight: number[] = [];
  let left = 0;
  bits.forEach((count, row) => {
    left += variances[row] * LEFT[count];
    const step = Math.sqrt(variances[row]) * STEP[count];
    for (let plane = 0; plane < count; plane++) {
      channel.push(row);
      weight.push(step / 2 * 2 ** (count - 1 - plane)); // levels are odd multiples of half a step
    }
  });
  const all = variances.reduce((sum, variance) => sum + variance, 0);
  return {
    basis: rows,
    channel: Uint32Array.from(channel),
    weight: Float32Array.from(weight),
    explained: moves ? 1 - left / all : 0,
  };
}

function eigen(covariance: Float64Array, dim: number) {
  const matrix = Matrix.from1DArray(dim, dim, Array.from(covariance));
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(matrix, {
    assumeSymmetric: true,
  });
  const most = Math.max(...realEigenvalues);
  const least = most > 0 ? most * 1e-12 : 1; // a channel that never moves still needs a weight
  const order = realEigenvalues.map((_, at) => at)
    .sort((a, b) => realEigenvalues[b] - realEigenvalues[a] || a - b);
  const rows = new Float32Array(dim * dim);
  order.forEach((column, row) => {
    const vector = Array.from({ length: dim }, (_, i) => eigenvectorMatrix.get(i, column));
    // An eigenvector's sign is anybody's: the largest component is made positive.
    const largest = vector.reduce((best, x) => Math.abs(x) > Math.abs(best) ? x : best, 0);
    vector.forEach((x, i) => rows[row * dim + i] = largest < 0 ? -x : x);
  });
  const variances = order.map((at) => Math.max(realEigenvalues[at], least));
  return { variances, rows, moves: most > 0 };
}

// The next plane goes where it removes most; equal gains to the earlier row.
function allocate(variances: readonly number[], planes: number): number[] {
  const bits = variances.map(() => 0);
  for (let plane = 0; plane < planes; plane++) {
    let best = -1;
    let most = -1;
    variances.forEach((variance, row) => {
      if (bits[row] === LEFT.length - 1) return;
      const gain = variance * (LEFT[bits[row]] - LEFT[bits[row] + 1]);
      if (gain > most) [best, most] = [row, gain];
    });
    bits[best]++;
  }
  return bits;
}
