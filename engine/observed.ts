// observed.ts - an observation on its way from the worker, and its tokens as text.
import type {
  Came,
  Observation,
  ObservedText,
  ObservedToken,
  ObserveOptions,
} from "./observation.ts";
import type { Tokenizer } from "./model/tokenizer.ts";

/** What the worker is asked. */
export interface ObserveAsk extends ObserveOptions {
  readonly salt: string;
}

/** A watched text as ids. */
export interface SeenText {
  readonly text: Omit<ObservedText, "tokens">;
  /** The last tokens before `from`: a character of theirs may end in the first ones. */
  readonly before: readonly number[];
  readonly ids: readonly number[];
  /** How each of them came. */
  readonly came: readonly Came[];
  /** Which id had been guessed where each of them came; null: none, or that one. */
  readonly guessed: readonly (number | null)[];
}

/** What the worker answers. */
export interface ObserveAnswer extends Omit<Observation, "watched"> {
  readonly watched: SeenText | null;
}

/** The observation, with texts where the model has a tokenizer. */
export function observationOf(
  { watched, ...answer }: ObserveAnswer,
  tokenizer: Tokenizer | null,
): Observation {
  if (watched === null) return { ...answer, watched };
  return { ...answer, watched: { ...watched.text, tokens: tokensOf(watched, tokenizer) } };
}

// Tokens before the first are pushed so that a text that goes on is not read as one that begins.
function tokensOf(
  { before, ids, came, guessed }: SeenText,
  tokenizer: Tokenizer | null,
): ObservedToken[] {
  const stream = tokenizer?.stream();
  for (const id of before) stream?.push(id);
  return ids.map((id, at) => {
    const token = { text: stream?.push(id) ?? "", came: came[at] };
    const guess = guessed[at];
    return guess === null ? token : { ...token, guessed: tokenizer?.decode([guess]) ?? "" };
  });
}
