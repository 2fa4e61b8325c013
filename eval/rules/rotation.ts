// rotation.ts - the bases that need no measurement (METHOD section 7).

const made = new Map<string, Float64Array>();

/** Orthonormal rows [headDim, headDim]: the Hadamard with a DCT of the odd factor, or none. */
export function rotation(basis: "hadamard" | "channels", headDim: number): Float64Array {
  const key = `${basis} ${headDim}`;
  const known = made.get(key);
  if (known !== undefined) return known;
  const rows = new Float64Array(headDim * headDim);
  const odd = basis === "hadamard" ? oddFactor(headDim) : 0;
  for (let row = 0; row < headDim; row++) {
    for (let i = 0; i < headDim; i++) {
      rows[row * headDim + i] = basis === "channels"
        ? Number(row === i)
        : entry(row, i, odd, headDim);
    }
  }
  made.set(key, rows);
  return rows;
}

function oddFactor(n: number): number {
  return n % 2 === 0 ? oddFactor(n / 2) : n;
}

// (H kron DCT): channel a * odd + b.
function entry(row: number, column: number, odd: number, headDim: number): number {
  const [a, b] = [Math.floor(row / odd), row % odd];
  const [c, d] = [Math.floor(column / odd), column % odd];
  let parity = 0;
  for (let bits = a & c; bits > 0; bits &= bits - 1) parity ^= 1;
  const cosine = Math.sqrt((b === 0 ? 1 : 2) / odd) * Math.cos(Math.PI * (d + 0.5) * b / odd);
  return (parity ? -1 : 1) * Math.sqrt(odd / headDim) * cosine;
}
