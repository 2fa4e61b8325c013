// logprobs.ts - probabilities as a request is told them: of the model's own logits, at temperature
// 1, before penalties and filters.
//   logits   (vocabulary)  f32

/** A token and the natural logarithm of its probability at temperature 1. */
export type TokenLogprob = readonly [id: number, logprob: number];

/** What is told of one drawn token. */
export interface Logprobs {
  /** Of the drawn token. */
  readonly logprob: number;
  /** The most probable tokens, most probable first; equal ones by id. */
  readonly top: TokenLogprob[];
}

/** The logarithm of the probability of `drawn`, and the `count` most probable tokens. */
export function logprobsOf(logits: Float32Array, drawn: number, count: number): Logprobs {
  let most = -Infinity;
  for (let id = 0; id < logits.length; id++) if (logits[id] > most) most = logits[id];
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += Math.exp(logits[id] - most);
  const normaliser = most + Math.log(sum);
  return {
    logprob: logits[drawn] - normaliser,
    top: largest(logits, count).map((id) => [id, logits[id] - normaliser]),
  };
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
