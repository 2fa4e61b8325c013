// secret.ts - a recall task for SmolLM2-135M-Instruct: one number hidden in real text, asked
// in chat.
//   prompt    the chat up to "The secret number of the <name> is"
//   answer    six digits
// The beginning of the answer is given, since a model this small often answers beside
// the point otherwise.

import { Draws } from "./draws.ts";
import type { Encoder } from "./needle.ts";

/** A tokenizer that also turns ids back into text. */
export interface Codec extends Encoder {
  /** Text of `ids`. */
  decode(ids: readonly number[]): string;
}

/** A chat prompt and the number that it must bring back. */
export interface SecretDocument {
  readonly prompt: string;
  readonly answer: string;
}

/** What a document is drawn from. */
export interface SecretOptions {
  readonly codec: Codec;
  /** Tokens of the real text. */
  readonly text: readonly number[];
  readonly seed: number;
  /** Tokens of the prompt, about: the text is cut where a sentence ends. */
  readonly tokens: number;
}

/** Tokens that an answer takes at most: a space and six digits are 7. */
export const SECRET_TOKENS_MAX = 8;

const ADJECTIVES = ["amber", "gentle", "hollow", "ivory", "mellow", "quiet", "rustic", "silver"];
const NOUNS = ["anchor", "castle", "garden", "kettle", "lantern", "orchard", "temple", "window"];
const FRAME_TOKENS = 130; // chat marks, the task, the fact and the question
const SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";

/** One text with one secret number behind a random sentence, and the chat that asks for it. */
export function secretDocument({ codec, text, seed, tokens }: SecretOptions): SecretDocument {
  const draws = new Draws(seed);
  const name = `${draws.of(ADJECTIVES)} ${draws.of(NOUNS)}`;
  const answer = String(100_000 + draws.below(900_000));
  const length = tokens - FRAME_TOKENS;
  const start = draws.below(text.length - length + 1);
  const sentences = codec.decode(text.slice(start, start + length)).split(/(?<=[.!?]) /);
  sentences.splice(
    1 + draws.below(sentences.length - 1), // behind the first, which is cut at its beginning
    0,
    `The secret number of the ${name} is ${answer}.`,
  );
  const asked = "Some secret numbers are hidden in the following text. Memorize them.\n\n" +
    `${sentences.join(" ")}\n\n` +
    `What is the secret number of the ${name} mentioned in the text above?`;
  const prompt = `<|im_start|>system\n${SYSTEM}<|im_end|>\n<|im_start|>user\n${asked}<|im_end|>\n` +
    `<|im_start|>assistant\nThe secret number of the ${name} is`;
  return { prompt, answer };
}
