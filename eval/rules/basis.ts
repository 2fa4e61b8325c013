// basis.ts - bases in which codes are measured, all orthonormal.

/** A basis; both ways work in place on a row of headDim numbers. */
export interface Basis {
  /** x to T x. */
  forward(x: Float64Array): void;
  /** y to T^-1 y. */
  back(y: Float64Array): void;
}

const known = new Map<string, Basis>();

/** `hadamard`, with a DCT of an odd factor (METHOD section 7), or none. */
export function basisOf(name: "hadamard" | "channels" | "paper", headDim: number): Basis {
  if (name !== "hadamard") return { forward() {}, back() {} };
  const key = `${headDim}`;
  const basis = known.get(key) ?? hadamard(headDim);
  known.set(key, basis);
  return basis;
}

/** A basis by its rows [headDim, headDim]. */
export function matrix(rows: Float64Array, headDim: number): Basis {
  const out = new Float64Array(headDim);
  return {
    forward(x) {
      for (let row = 0, at = 0; row < headDim; row++) {
        let sum = 0;
        for (let i = 0; i < headDim; i++) sum += rows[at++] * x[i];
        out[row] = sum;
      }
      x.set(out);
    },
    back(y) {
      out.fill(0);
      for (let row = 0; row < headDim; row++) {
        if (y[row] === 0) continue; // a channel without planes
        for (let i = 0, at = row * headDim; i < headDim; i++) out[i] += rows[at++] * y[row];
      }
      y.set(out);
    },
  };
}

// H of the power of two, its own inverse, and the DCT of the odd factor: channel a * odd + b.
function hadamard(headDim: number): Basis {
  let odd = headDim;
  while (odd % 2 === 0) odd /= 2;
  const scale = Math.sqrt(odd / headDim);
  const butterflies = (x: Float64Array) => {
    for (let half = odd; half < headDim; half *= 2) {
      for (let first = 0; first < headDim; first += 2 * half) {
        for (let i = first; i < first + half; i++) {
          const a = x[i], b = x[i + half];
          x[i] = a + b;
          x[i + half] = a - b;
        }
      }
    }
    for (let i = 0; i < headDim; i++) x[i] *= scale;
  };
  const cosine = (k: number, b: number) =>
    Math.sqrt((k === 0 ? 1 : 2) / odd) * Math.cos(Math.PI * (b + 0.5) * k / odd);
  const cosines = (x: Float64Array, back: boolean) => {
    if (odd === 1) return;
    for (let first = 0; first < headDim; first += odd) {
      const old = x.slice(first, first + odd);
      for (let i = 0; i < odd; i++) {
        let sum = 0;
        for (let j = 0; j < odd; j++) sum += (back ? cosine(j, i) : cosine(i, j)) * old[j];
        x[first + i] = sum;
      }
    }
  };
  return {
    forward(x) {
      cosines(x, false);
      butterflies(x);
    },
    back(y) {
      butterflies(y);
      cosines(y, true);
    },
  };
}
