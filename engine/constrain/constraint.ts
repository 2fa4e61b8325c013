// constraint.ts - one text that is held to a format: which tokens it may go on with.
//   mask     (vocabulary / 32, rounded up)  i32   bit i of word w: token 32 w + i may come
//   logits   (vocabulary)                   f32
//
// A guess is drawn under the mask of the text with the guesses before it, so by the very rule that
// the true token there will be drawn by: guesses cost nothing in fidelity, and no token depends on
// them.
import type { GrammarMatcher } from "@mlc-ai/web-xgrammar";

/** Where a token is to be drawn. */
export interface Place {
  /** Logits (vocabulary) there. */
  readonly logits: Float32Array;
  /** Tokens between the newest true one and the place. */
  readonly ahead: readonly number[];
  /**
   * Whether the token drawn from all logits, where the format lets it, is the one that would be
   * drawn from those of allowed tokens alone: so it is where no filter counts probabilities.
   */
  readonly unfiltered: boolean;
}

// The library's own method answers by a promise, for loading's sake; what it calls does not.
interface Bound {
  readonly handle: { GetNextTokenBitmask(vocabulary: number): Words };
}

interface Words {
  size(): number;
  get(word: number): number;
  delete(): void;
}

/** One text's state in its grammar. */
export class Constraint {
  readonly #matcher: GrammarMatcher;
  readonly #masked: Float32Array; // (vocabulary) logits, -infinity where the format lets no token

  /** Grammars.constraint makes constraints. */
  constructor(matcher: GrammarMatcher, vocabulary: number) {
    this.#matcher = matcher;
    this.#masked = new Float32Array(vocabulary);
  }

  /** The token that `sample` draws of those that the format lets. */
  draw(
    { logits, ahead, unfiltered }: Place,
    sample: (logits: Float32Array) => number,
  ): number {
    const taken = this.#take(ahead);
    try {
      // Behind a guess that the format does not let, or behind the end, no true token will stand.
      if (taken < ahead.length || this.#matcher.isTerminated()) return sample(logits);
      if (unfiltered) {
        const id = sample(logits);
        if (this.#lets(id)) return id;
      }
      return sample(this.#mask(logits));
    } finally {
      if (taken > 0) this.#matcher.rollBack(taken);
    }
  }

  /** The text goes on by tokens. */
  add(ids: readonly number[]): void {
    this.#take(ids);
  }

  /** Gives its memory back. */
  close(): void {
    this.#matcher.dispose();
  }

  // Tokens that the grammar takes, of `ids` from the first on.
  #take(ids: readonly number[]): number {
    let taken = 0;
    while (taken < ids.length && this.#takes(ids[taken])) taken++;
    return taken;
  }

  #takes(id: number): boolean {
    return !this.#matcher.isTerminated() && this.#matcher.acceptToken(id);
  }

  #lets(id: number): boolean {
    const lets = this.#takes(id);
    if (lets) this.#matcher.rollBack(1);
    return lets;
  }

  #mask(logits: Float32Array): Float32Array {
    const masked = this.#masked;
    masked.fill(-Infinity);
    const words = (this.#matcher as unknown as Bound).handle.GetNextTokenBitmask(masked.length);
    try {
      for (let word = 0; word < words.size(); word++) {
        const bits = words.get(word);
        for (let left = bits; left !== 0; left &= left - 1) {
          const id = word * 32 + 31 - Math.clz32(left & -left);
          if (id < masked.length) masked[id] = logits[id];
        }
      }
    } finally {
      words.delete();
    }
    return masked;
  }
}
