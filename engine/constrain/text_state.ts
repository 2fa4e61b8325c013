// text_state.ts - what a text's state in its grammar tells whoever draws its tokens.
//   mask     (vocabulary / 32, rounded up)  i32   bit i of word w: token 32 w + i may come

/** What is asked of the place where a token is to be drawn. */
export interface Place {
  /** Tokens that the text has gone on by since it was last asked about. */
  readonly added: readonly number[];
  /** Tokens between the newest true one and the place. */
  readonly ahead: readonly number[];
  /** A token that would come there; null: none is known yet. */
  readonly id: number | null;
}

/**
 * `free`: behind a guess that the format does not let, or behind the end, no true token will stand,
 * so any may come; `lets`: the token may come; `mask`: it may not, or is not known, and the mask
 * says which may.
 */
export type Verdict = "free" | "lets" | "mask";

/** A text's state in its grammar. */
export interface TextState {
  /** Writes to `mask` (vocabulary / 32, rounded up) where it answers so. */
  judge(place: Place, mask: Int32Array): Verdict;
  /** Gives its memory back. */
  close(): void;
}
