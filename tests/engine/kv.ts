// kv.ts - what the tests of KvStore share: a random text of queries, keys and values, ways to run
// it, and softmax attention over it in float64, in plain loops.
import { KvStore, type KvStoreOptions, type StepOptions } from "../../mod.ts";
import { assertLess } from "../harness.ts";
import { K } from "./support.ts";

/** Sizes of {@linkcode kv}. */
export const shape = { layers: 2, kvHeads: 2, queryHeads: 4, headDim: 32 };
/** Tokens that the text has. */
export const TOKENS = 420;

const { layers, kvHeads, queryHeads, headDim } = shape;
const keyWidth = kvHeads * headDim;
const queryWidth = queryHeads * headDim;

/** Opens a store for the text, far in RAM and few exact pairs. */
export function openStore(options: Partial<KvStoreOptions> = {}): KvStore {
  return KvStore.open({ ...shape, contextTokens: TOKENS, k: K, threads: 1, ...options });
}

/** Numbers in [-1, 1), the same for the same seed (mulberry32). */
export function randomNumbers(count: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), 1 | state);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 31 - 1;
  });
}

interface Layer {
  /** [TOKENS, queryHeads, headDim], long enough that few tokens weigh much. */
  readonly queries: Float32Array;
  /** [TOKENS, kvHeads, headDim]. */
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

/** The text, by layer. */
export const kv: readonly Layer[] = Array.from({ length: layers }, (_, layer) => ({
  queries: randomNumbers(TOKENS * queryWidth, 3 * layer + 1).map((number) => 4 * number),
  keys: randomNumbers(TOKENS * keyWidth, 3 * layer + 2),
  values: randomNumbers(TOKENS * keyWidth, 3 * layer + 3),
}));

/** Tokens [first, end) of a layer. */
export function slice(layer: number, first: number, end: number): Layer {
  const { queries, keys, values } = kv[layer];
  return {
    queries: queries.slice(first * queryWidth, end * queryWidth),
    keys: keys.slice(first * keyWidth, end * keyWidth),
    values: values.slice(first * keyWidth, end * keyWidth),
  };
}

/** Prefills tokens [first, end); outputs by layer. */
export function prefill(store: KvStore, first: number, end: number): Float32Array[] {
  return kv.map((_, layer) => store.prefill(layer, slice(layer, first, end))!);
}

/** A step at the store's length of `inputs` tokens, of which one stays; outputs by layer. */
export function step(store: KvStore, options: Partial<StepOptions> = {}): Float32Array[] {
  const { inputs = 1 } = options;
  const first = store.length;
  store.begin({ inputs, ...options });
  const outputs = kv.map((_, layer) => store.attend(layer, slice(layer, first, first + inputs)));
  store.end({ keep: 1 });
  return outputs;
}

/** Outputs [queryHeads, headDim] of the token at `position`, which sees those before and itself. */
export function exactAttention(layer: number, position: number, scale: number): Float64Array {
  const { queries, keys, values } = kv[layer];
  const outputs = new Float64Array(queryWidth);
  for (let head = 0; head < queryHeads; head++) {
    const query = position * queryWidth + head * headDim;
    const offset = Math.floor(head / (queryHeads / kvHeads)) * headDim;
    const logits = Array.from({ length: position + 1 }, (_, token) => {
      let dot = 0;
      for (let i = 0; i < headDim; i++) {
        dot += queries[query + i] * keys[token * keyWidth + offset + i];
      }
      return dot * scale;
    });
    const most = Math.max(...logits);
    const weights = logits.map((logit) => Math.exp(logit - most));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    weights.forEach((weight, token) => {
      for (let i = 0; i < headDim; i++) {
        outputs[head * headDim + i] += weight / sum * values[token * keyWidth + offset + i];
      }
    });
  }
  return outputs;
}

/** Largest distance between outputs by layer, of tokens from `first` on, and exact attention. */
export function distance(
  outputs: readonly Float32Array[],
  first: number,
  scale: number = 1 / Math.sqrt(headDim),
): number {
  let largest = 0;
  outputs.forEach((numbers, layer) => {
    for (let at = 0; at < numbers.length; at += queryWidth) {
      exactAttention(layer, first + at / queryWidth, scale).forEach((exact, i) => {
        largest = Math.max(largest, Math.abs(exact - numbers[at + i]));
      });
    }
  });
  return largest;
}

// Values are below 1, and a softmax over 420 tokens sums some 500 float32 products of 2^-24 each;
// logits are below 4 * 32 / sqrt(32), whose rounding weighs alike.
const FLOAT32 = 2e-5;

/** Checks that outputs by layer, of tokens from `first` on, are exact up to float32's rounding. */
export function assertExact(outputs: readonly Float32Array[], first: number, scale?: number): void {
  assertLess(distance(outputs, first, scale), FLOAT32, `at ${first}`);
}
