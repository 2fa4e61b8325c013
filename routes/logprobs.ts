// logprobs.ts - tokens and the natural logarithms of their probabilities, as OpenAI's clients read
// them.
import type { Piece } from "../engine/generation.ts";
import type { ServedEngine } from "./engine.ts";

/** A token and its logarithm. */
export interface TokenAnswer {
  readonly token: string;
  readonly logprob: number;
  /** UTF-8 of the token; null where it is part of a character. */
  readonly bytes: readonly number[] | null;
}

/** A token, and the most probable ones at its place. */
export interface LogprobAnswer extends TokenAnswer {
  readonly top_logprobs: readonly TokenAnswer[];
}

/** Tokens that were generated with logprobs, each with `top` alternatives. */
export function logprobsOf(
  engine: Pick<ServedEngine, "tokenText">,
  pieces: readonly Piece[],
  top: number,
): LogprobAnswer[] {
  const answer = (id: number, logprob: number): TokenAnswer => {
    const token = engine.tokenText(id);
    const bytes = token.includes("\uFFFD") ? null : [...new TextEncoder().encode(token)];
    return { token, logprob, bytes };
  };
  return pieces.map(({ id, logprob, logprobs }) => ({
    ...answer(id, logprob!),
    top_logprobs: logprobs!.slice(0, top).map(([other, each]) => answer(other, each)),
  }));
}
