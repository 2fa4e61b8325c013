// penalties.ts - logits of tokens that the text holds already are changed.
//   logits   (vocabulary)  f32
//
//   repetition r   logit > 0: logit / r, else logit * r      prompt and generated tokens
//   frequency f    logit - f * times it was generated        generated tokens
//   presence p     logit - p if it was generated             generated tokens
//
// Repetition is CTRL's rule (Keskar et al. 2019, section 4.1) as transformers has it; frequency and
// presence are OpenAI's. vLLM counts the same tokens. llama.cpp differs: it counts the prompt for
// all three, and only the last 64 tokens: a text longer than that would be free to repeat itself.
// Generated are the tokens since the last prompt, also where a request goes on from another, so
// that a text made in two requests is that of one.

/** Factors of the penalties; 1, 0 and 0 change nothing. */
export interface Penalties {
  readonly repetitionPenalty: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
}

/** Whether any penalty changes anything. */
export function penalises(penalties: Penalties): boolean {
  const { repetitionPenalty, presencePenalty, frequencyPenalty } = penalties;
  return repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0;
}

/** The tokens of a text, and how often each was generated. */
export class TokenCounts {
  /** Times generated, by id; 0 for a token of the prompt alone. */
  readonly generated: Map<number, number>;

  private constructor(generated: Map<number, number>) {
    this.generated = generated;
  }

  /** Counts a text whose first `prompted` tokens are its prompt. */
  static of(ids: readonly number[], prompted: number): TokenCounts {
    const counts = new TokenCounts(new Map());
    for (let at = 0; at < prompted; at++) counts.generated.set(ids[at], 0);
    counts.add(ids.slice(prompted));
    return counts;
  }

  /** The text goes on by generated tokens. */
  add(ids: readonly number[]): void {
    for (const id of ids) this.generated.set(id, (this.generated.get(id) ?? 0) + 1);
  }

  /** The counts of the text that goes on by `ids`; these stay as they are. */
  with(ids: readonly number[]): TokenCounts {
    if (ids.length === 0) return this;
    const counts = new TokenCounts(new Map(this.generated));
    counts.add(ids);
    return counts;
  }
}

/** A copy of `logits` with the penalties of a text. */
export function penalised(
  logits: Float32Array,
  { repetitionPenalty, presencePenalty, frequencyPenalty }: Penalties,
  { generated }: TokenCounts,
): Float32Array {
  const changed = logits.slice();
  for (const [id, times] of generated) {
    const logit = logits[id];
    const repeated = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
    changed[id] = repeated - frequencyPenalty * times - (times > 0 ? presencePenalty : 0);
  }
  return changed;
}
