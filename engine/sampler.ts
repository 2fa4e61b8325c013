// sampler.ts - logits to a token: greedy, or temperature with random numbers of the position.
//   logits   (vocabulary)  f32
// The random numbers depend on seed, position and token alone, so a guess at a position is drawn
// with the very numbers that the true token there will be drawn with, and text depends neither on
// how many guesses run nor on what else does.

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

/** What the library says of an input: its most probable token, the lowest id of equal ones. */
export interface Likeliest {
  readonly id: number;
  /** Its logit; -infinity where none is above that, as where all are NaN. */
  readonly logit: number;
}

/** Whether tokens of a request can be told without their logits. */
export function needsLogits(request: Sampling & { readonly logprobs: number }): boolean {
  return request.temperature !== 0 || request.logprobs !== 0;
}

/**
 * The token of temperature 0.
 *
 * @throws {SpecacheError} data: its logit is not finite
 */
export function greedy({ id, logit }: Likeliest): number {
  if (Number.isFinite(logit)) return id;
  throw new SpecacheError("data", `Cannot sample a token: largest logit ${logit} is not finite`);
}

/** Draws the token of `position` from `logits` (vocabulary). */
export function sample(logits: Float32Array, sampling: Sampling, position: number): number {
  const best = likeliest(logits);
  if (sampling.temperature === 0) return best;
  return draw(logits, logits[best], sampling.temperature, wordOf(sampling.seed, position));
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
  return Number(wordOf(seed, position) >> 11n) / 2 ** 53; // the upper 53 bits: a double's mantissa
}

function wordOf(seed: number, position: number): bigint {
  return mixed(BigInt.asUintN(64, mixed(BigInt(seed)) + BigInt(position + 1) * GOLDEN));
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
  return greedy({ id: best, logit: most });
}

// A race: token i arrives at E_i / weight_i, E_i exponential, and the first one is drawn, which is
// i with probability weight_i / sum. Every token has a number of its own, so that logits that
// differ a little nearly always draw the same one: a guess is right at least as often as (1 - d) /
// (1 + d), d the distance of the two distributions. One number against cumulated probabilities
// would have each token's error move all tokens behind it.
function draw(logits: Float32Array, most: number, temperature: number, random: bigint): number {
  const [low, high] = [Number(random & 0xffffffffn), Number(random >> 32n)];
  let first = Infinity;
  let drawn = 0;
  for (let id = 0; id < logits.length; id++) {
    const weight = Math.exp((logits[id] - most) / temperature);
    const upper = hashed(id ^ low, high);
    // -log(u) is at least 1 - u: most tokens are late already by the upper bits of their number.
    if ((0xffffffff - upper) / 2 ** 32 >= first * weight) continue;
    const lower = hashed(id ^ high, low) >>> 11;
    const arrival = -Math.log((upper * 2 ** 21 + lower + 0.5) / 2 ** 53) / weight;
    if (arrival < first) [first, drawn] = [arrival, id];
  }
  return drawn;
}

// 32 bits of a word and a key, each of them a function of all (Murmur3's last mix, twice).
function hashed(word: number, key: number): number {
  let x = word;
  for (let round = 0; round < 2; round++) {
    x = Math.imul(x ^ x >>> 16, 0x85ebca6b);
    x = Math.imul(x ^ x >>> 13, 0xc2b2ae35);
    x = (x ^ x >>> 16) + key | 0;
  }
  return x >>> 0;
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
