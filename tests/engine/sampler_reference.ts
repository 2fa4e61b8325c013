// sampler_reference.ts - the sampler as its documentation has it: one array after another, sorted
// in full, with nothing saved.
import type { Sampling } from "../../engine/sampler.ts";

/** Probability of each token (vocabulary), after a text whose first `prompted` tokens are given. */
export function plainDistribution(
  logits: Float32Array,
  sampling: Sampling,
  text: readonly number[],
  prompted: number,
): number[] {
  const changed = penalised(logits, sampling, text, prompted);
  let left = changed
    .map((logit, id) => ({ id, logit, probability: Math.exp(logit / sampling.temperature) }))
    .sort((a, b) => b.logit - a.logit || a.id - b.id);
  if (sampling.topK > 0) left = left.slice(0, sampling.topK);
  left = normalised(left);
  let reached = 0;
  const nucleus = left.findIndex(({ probability }) => (reached += probability) >= sampling.topP);
  if (sampling.topP < 1 && nucleus >= 0) left = left.slice(0, nucleus + 1);
  const least = sampling.minP * left[0].probability;
  left = normalised(left.filter(({ probability }) => probability >= least));
  const probabilities = new Array<number>(logits.length).fill(0);
  for (const { id, probability } of left) probabilities[id] = probability;
  return probabilities;
}

function penalised(
  logits: Float32Array,
  sampling: Sampling,
  text: readonly number[],
  prompted: number,
): number[] {
  return Array.from(logits, (logit, id) => {
    const generated = text.slice(prompted).filter((token) => token === id).length;
    let changed = logit;
    if (text.includes(id)) {
      changed = logit > 0 ? logit / sampling.repetitionPenalty : logit * sampling.repetitionPenalty;
    }
    changed -= sampling.frequencyPenalty * generated;
    return generated > 0 ? changed - sampling.presencePenalty : changed;
  });
}

interface Candidate {
  readonly id: number;
  readonly logit: number;
  readonly probability: number;
}

function normalised(candidates: readonly Candidate[]): Candidate[] {
  const sum = candidates.reduce((total, { probability }) => total + probability, 0);
  return candidates.map((each) => ({ ...each, probability: each.probability / sum }));
}
