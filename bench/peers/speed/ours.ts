// ours.ts - our side: stores filled with random rows, so that a long cache needs no prefill.
import { NativeStore } from "../../../engine/native.ts";
import type { StoreShape } from "../../../engine/native_config.ts";
import type { CacheOptions, EngineOptions } from "../../../engine/config.ts";
import { settle } from "../../../engine/settings.ts";
import { randomProfile } from "../../random_profile.ts";
import { noise } from "../../walk.ts";

const POOL = 1 << 22; // random numbers, of which each part is at a place of its own
const pool = noise(POOL, 7);

/** How a store is opened. */
export type Ours = CacheOptions & Pick<EngineOptions, "activations">;

/** `count` numbers of unit variance; other ones for another `place`. */
export function cut(place: number, count: number): Float32Array {
  const start = Math.imul(place + 1, 0x9e3779b1) >>> 0;
  const from = start % (POOL - count);
  return pool.subarray(from, from + count);
}

/** Opens a store with a random profile of `keyBits`, or none. */
export function openStore(
  options: Ours,
  shape: StoreShape,
  tokensMax: number,
  keyBits: 1 | 2 | null,
): NativeStore {
  const profile = keyBits === null
    ? null
    : randomProfile({ ...shape, planes: shape.headDim / 4, keyBits });
  const parts = profile && { keys: true, values: true };
  const settings = settle(options, tokensMax, parts, "compare speed");
  return NativeStore.open(settings, shape, profile, "compare speed");
}

/** Fills a new sequence with `tokens` random rows in each layer. */
export function fill(store: NativeStore, tokens: number): bigint {
  const sequence = store.openSequence();
  store.fill(sequence, tokens, 1);
  return sequence;
}
