// walk.ts - random rows and a random walk of queries, for benches of one layer.

/** 8 KV heads of 128, 32 query heads. */
export const SHAPE = { layers: 1, kvHeads: 8, queryHeads: 32, headDim: 128 };
/** Different queries, taken in turn. */
export const STEPS = 64;
const CORRELATION = 0.92; // of neighbouring queries: a quarter of the chosen rows change in a step

/** Numbers of unit variance from a seed: sum of twelve uniform ones (Irwin-Hall), minus 6. */
export function noise(count: number, seed: number): Float32Array {
  let state = seed >>> 0;
  const uniform = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  return Float32Array.from({ length: count }, () => {
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += uniform();
    return sum;
  });
}

/** [STEPS + 1][queryHeads * headDim]: a random walk, back and forth so that it has no jump. */
export function queryWalk(width = SHAPE.queryHeads * SHAPE.headDim): Float32Array[] {
  const walk = [noise(width, 1)];
  const fresh = Math.sqrt(1 - CORRELATION ** 2);
  for (let step = 1; step <= STEPS / 2; step++) {
    const next = noise(width, 1 + step);
    walk.push(next.map((x, i) => CORRELATION * walk[step - 1][i] + fresh * x));
  }
  return [...walk, ...walk.slice(0, -1).reverse()];
}
