// sampler.ts - logits to a token: greedy, or temperature with one random number per position.
//   logits   (vocabulary)  f32
// The random number depends on seed and position alone, so a guess at a position is drawn with the
// very number that the true token there will be drawn with, and text depends neither on how many
// guesses run nor on what else does.

import { SpecacheError } from "./errors.ts";

/** How one request turns logits into tokens. */
export interface Sampling {
  /** 0 takes the most probable token. */
  readonly temperature: number;
  /** Of the random numbers; 0 to 2^53 - 1. */
  readonly seed: number;
}

/** A token and the natural logarithm of its probability at temperature 1. */
export type TokenLogprob = readonly [id: number, logprob: number];

/** Draws the token of `position` from `logits` (vocabulary). */
export function sample(logits: Float32Array, sampling: Sampling, position: number): number {
  const best = likeliest(logits);
  if (sampling.temperature === 0) return best;
  return draw(logits, logits[best], sampling.temperature, randomOf(sampling.seed, position));
}

/** The `count` most probable tokens, most probable first; equal ones by id. */
export function topLogprobs(logits: Float32Array, count: number): TokenLogprob[] {
  const most = logits[likeliest(logits)];
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += Math.exp(logits[id] - most);
  const normaliser = most + Math.log(sum);
  return largest(logits, count).map((id) => [id, logits[id] - normaliser]);
}

/** The random number, in [0, 1), of a position: splitmix64 read at that index of its sequence. */
export function randomOf(seed: number, position: number): number {
  const start = mixed(BigInt(seed));
  const word = mixed(BigInt.asUintN(64, start + BigInt(position + 1) * GOLDEN));
  return Number(word >> 11n) / 2 ** 53; // the upper 53 bits fill a double's mantissa
}

const GOLDEN = 0x9e3779b97f4a7c15n; // 2^64 / golden ratio, odd: steps through all 2^64 states

function mixed(state: bigint): bigint {
  let word = state;
  word = BigInt.asUintN(64, (word ^ (word >> 30n)) * 0xbf58476d1ce4e5b9n);
  word = BigInt.asUintN(64, (word ^ (word >> 27n)) * 0x94d049bb133111ebn);
  return word ^ (word >> 31n);
}

function likeliest(logits: Float32Array): number {
  let best = -1;
  let most = -Infinity;
  for (let id = 0; id < logits.length; id++) {
    // A strict comparison keeps the lower id of equal logits.
    if (logits[id] > most) [best, most] = [id, logits[id]];
  }
  if (Number.isFinite(most)) return best;
  throw new SpecacheError("data", `Cannot sample a token: largest logit ${most} is not finite`);
}

// Inverse of the cumulative distribution in order of ids. Sums are float64, so the error of a
// probability is far below the 2^-53 steps of the random number.
function draw(logits: Float32Array, most: number, temperature: number, random: number): number {
  const weights = new Float64Array(logits.length); // (vocabulary) exp((logit - most) / temperature)
  let sum = 0;
  for (let id = 0; id < logits.length; id++) {
    weights[id] = Math.exp((logits[id] - most) / temperature);
    sum += weights[id];
  }
  const target = random * sum;
  let cumulative = 0;
  let last = 0;
  for (let id = 0; id < weights.length; id++) {
    if (weights[id] === 0) continue;
    cumulative += weights[id];
    last = id;
    if (cumulative > target) return id;
  }
  return last;
}

function largest(logits: Float32Array, count: number): number[] {
  const ids: number[] = []; // by falling logit, at most `count`
  for (let id = 0; id < logits.length; id++) {
    if (ids.length === count && !(logits[id] > logits[ids[count - 1]])) continue;
    let at = ids.length;
    while (at > 0 && logits[id] > logits[ids[at - 1]]) at--;
    ids.splice(at, 0, id);
    if (ids.length > count) ids.pop();
  }
  return ids;
}
