// sampler.ts - logits to a token: greedy, or drawn with random numbers of the position.
//   logits   (vocabulary)  f32
//
// In this order: penalties of the text (penalties.ts), temperature, top-k, top-p, min-p
// (filters.ts), and a race of what remains (race.ts). That is the order of transformers, and of
// vLLM but for min-p; the values that models recommend for themselves were found with it. llama.cpp
// filters first and divides by the temperature last, so there the same topP keeps other tokens
// where the temperature is not 1.
//
// The random numbers depend on seed, position and token alone, and all else on the logits and the
// text. So a guess at a position is drawn by the very rule that the true token there will be drawn
// by, and text depends neither on how many guesses run nor on what else does.
//
// The library draws by the same rules (native/cpu/kernels/draw.cpp) where nothing but temperature
// and limits is asked for, and leaves to this file what hangs on roundings, which differ from one
// language's logarithm to another's: so both draw the same.

import { SpecacheError } from "./errors.ts";
import { type Filters, remaining } from "./sampling/filters.ts";
import { penalised, penalises, type Penalties, type TokenCounts } from "./sampling/penalties.ts";
import { race, wordOf } from "./sampling/race.ts";

/** How one request turns logits into tokens. */
export interface Sampling extends Filters, Penalties {
  /** 0 takes the most probable token, after penalties. */
  readonly temperature: number;
  /** Of the random numbers; 0 to 2^53 - 1. */
  readonly seed: number;
}

/** The most probable token, whatever the text: what a request that asks for nothing gets. */
export const greedy: Sampling = {
  temperature: 0,
  seed: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
};

/** What the library says of an input: its most probable token, the lowest id of equal ones. */
export interface Likeliest {
  readonly id: number;
  /** Its logit; -infinity where none is above that, as where all are NaN. */
  readonly logit: number;
}

/** Whether a request needs more of a step than tokens, which the library draws. */
export function needsLogits(
  request: Sampling & { readonly logprobs: number; readonly format?: unknown },
): boolean {
  const { logprobs, format } = request;
  return penalises(request) || logprobs > 0 || Boolean(format);
}

/** Whether probabilities are counted before a token is drawn. */
export function filters({ temperature, topK, topP, minP }: Sampling): boolean {
  return temperature !== 0 && (topK !== 0 || topP !== 1 || minP !== 0);
}

/**
 * The token of temperature 0.
 *
 * @throws {SpecacheError} data: its logit is not finite
 */
export function mostProbable({ id, logit }: Likeliest): number {
  if (Number.isFinite(logit)) return id;
  throw new SpecacheError("data", `Cannot sample a token: largest logit ${logit} is not finite`);
}

/**
 * Draws the token of `position` from `logits` after a text; null: its penalties change nothing.
 * `told` is what the library said of these logits; null: they are looked through for it.
 */
export function sample(
  logits: Float32Array,
  sampling: Sampling,
  position: number,
  text: TokenCounts | null = null,
  told: Likeliest | null = null,
): number {
  const { temperature, seed } = sampling;
  const judged = text === null ? logits : penalised(logits, sampling, text);
  const best = mostProbable(text === null && told !== null ? told : likeliest(judged));
  if (temperature === 0) return best;
  const most = judged[best];
  const ids = remaining(judged, most, temperature, sampling);
  return race({ logits: judged, most, temperature, ids }, wordOf(seed, position));
}

function likeliest(logits: Float32Array): Likeliest {
  let best = -1;
  let most = -Infinity;
  for (let id = 0; id < logits.length; id++) {
    // A strict comparison keeps the lower id of equal logits.
    const logit = logits[id];
    if (logit > most) {
      best = id;
      most = logit;
    }
  }
  return { id: best, logit: most };
}
