// constraint.ts - one text that is held to a format: which tokens it may go on with.
//   mask     (vocabulary / 32, rounded up)  i32   bit i of word w: token 32 w + i may come
//   logits   (vocabulary)                   f32
//
// A guess is drawn under the mask of the text with the guesses before it, so by the very rule that
// the true token there will be drawn by: guesses cost nothing in fidelity, and no token depends on
// them.
import type { TextState } from "./text_state.ts";

/** Where a token is to be drawn. */
export interface Draw {
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

/** Draws the tokens of one text. */
export class Constraint {
  readonly #state: TextState;
  readonly #mask: Int32Array; // (vocabulary / 32, rounded up)
  readonly #masked: Float32Array; // (vocabulary) logits, -infinity where the format lets no token
  #added: number[] = []; // tokens that the state has not heard of

  /** For a text that begins; it closes the state. */
  constructor(state: TextState, vocabulary: number) {
    this.#state = state;
    this.#mask = new Int32Array(Math.ceil(vocabulary / 32));
    this.#masked = new Float32Array(vocabulary);
  }

  /**
   * The token that `sample` draws of those that the format lets.
   *
   * @throws {SpecacheError} internal: the library failed; what `sample` throws
   */
  draw({ logits, ahead, unfiltered }: Draw, sample: (logits: Float32Array) => number): number {
    const id = unfiltered ? sample(logits) : null;
    const verdict = this.#state.judge({ added: this.#added, ahead, id }, this.#mask);
    this.#added = [];
    return verdict === "mask" ? sample(this.#allowed(logits)) : id ?? sample(logits);
  }

  /** The text goes on by tokens. */
  add(ids: readonly number[]): void {
    this.#added.push(...ids);
  }

  /** Gives its memory back. */
  close(): void {
    this.#state.close();
  }

  #allowed(logits: Float32Array): Float32Array {
    const masked = this.#masked;
    masked.fill(-Infinity);
    for (const [word, bits] of this.#mask.entries()) {
      for (let left = bits; left !== 0; left &= left - 1) {
        const id = word * 32 + 31 - Math.clz32(left & -left);
        if (id < masked.length) masked[id] = logits[id];
      }
    }
    return masked;
  }
}
