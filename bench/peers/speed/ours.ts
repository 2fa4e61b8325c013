// ours.ts - our side: stores filled with random rows, so that a long cache needs no prefill.
import { NativeStore, type StoreShape } from "../../../engine/native.ts";
import type { CacheOptions } from "../../../engine/config.ts";
import type { Profile } from "../../../engine/profile.ts";
import { settle } from "../../../engine/settings.ts";
import { noise } from "../../walk.ts";

const POOL = 1 << 22; // random numbers that runs of rows are cut from, each at a place of its own
const RUN = 1024; // tokens appended at a time
const pool = noise(POOL, 7);

/** `count` numbers of unit variance; other ones for another `place`. */
export function cut(place: number, count: number): Float32Array {
  const start = Math.imul(place + 1, 0x9e3779b1) >>> 0;
  const from = start % (POOL - count);
  return pool.subarray(from, from + count);
}

/** A profile of random bases: values of headDim / 4 planes on the first channels, 2-bit keys. */
export function randomProfile({ layers, kvHeads, headDim }: StoreShape, keyBits: 1 | 2): Profile {
  const heads = layers * kvHeads;
  const planes = headDim / 4;
  const basis = randomBasis(headDim);
  const valueBasis = new Float32Array(heads * basis.length);
  for (let head = 0; head < heads; head++) valueBasis.set(basis, head * basis.length);
  return {
    valuePlanes: planes,
    keyBits: new Uint8Array(heads).fill(keyBits),
    valueBasis,
    planeChannel: Uint32Array.from({ length: heads * planes }, (_, at) => at % planes),
    planeWeight: new Float32Array(heads * planes).fill(1),
  };
}

// Gram and Schmidt.
function randomBasis(dim: number): Float32Array {
  const rows: number[][] = [];
  const numbers = noise(dim * dim, 11);
  for (let at = 0; at < dim; at++) {
    let row = Array.from(numbers.subarray(at * dim, (at + 1) * dim));
    for (const earlier of [...rows, ...rows]) { // twice, for what rounding left
      const dot = row.reduce((sum, x, i) => sum + x * earlier[i], 0);
      row = row.map((x, i) => x - dot * earlier[i]);
    }
    const length = Math.hypot(...row);
    rows.push(row.map((x) => x / length));
  }
  return Float32Array.from(rows.flat());
}

/** Opens a store with a random profile of `keyBits`, or none. */
export function openStore(
  options: CacheOptions,
  shape: StoreShape,
  tokensMax: number,
  keyBits: 1 | 2 | null,
): NativeStore {
  const profile = keyBits === null ? null : randomProfile(shape, keyBits);
  const parts = profile && { keys: true, values: true };
  const settings = settle(options, tokensMax, parts, "compare speed");
  return NativeStore.open(settings, shape, profile, "compare speed");
}

/** Fills a new sequence with `tokens` random rows in each layer. */
export function fill(store: NativeStore, tokens: number): bigint {
  const sequence = store.openSequence();
  const { layers, kvHeads, headDim } = store.shape;
  const count = RUN * kvHeads * headDim;
  for (let done = 0; done < tokens; done += RUN) {
    for (let layer = 0; layer < layers; layer++) {
      const place = 2 * (done / RUN * layers + layer);
      store.append(sequence, layer, RUN, cut(place, count), cut(place + 1, count));
    }
  }
  return sequence;
}
