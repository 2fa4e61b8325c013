// needle.ts - recall tasks for models/needle: facts hidden in real text, one asked at the end.
//   text      bos, then real text with sentences " The code of <words> is <value>." in it
//   question  "\nRecall: The code of <words> is"
//   answer    " <value>", then "."
// A task is put together from token ids, not from text: the model was trained on facts that begin
// wherever a token ends, and so the length is exact.

import { SpecacheError } from "../engine/errors.ts";
import { Draws } from "./draws.ts";

/** What a task needs of a tokenizer. */
export interface Encoder {
  /** Token ids of `text`, with no bos. */
  encode(text: string): readonly number[];
}

/** What tasks are made of; made once for a tokenizer and a text. */
export interface NeedleSource {
  readonly encoder: Encoder;
  /** Tokens of the real text. */
  readonly text: readonly number[];
  /** Words that facts are named by. */
  readonly words: readonly string[];
  /** The token that begins a text. */
  readonly bos: number;
}

/** Size of one task and what it is drawn from. */
export interface NeedleOptions {
  readonly seed: number;
  /** Tokens in all: bos, text and facts, and in a document the question. */
  readonly tokens: number;
  /** Facts hidden in the text. */
  readonly facts: number;
  /** `numbers`: five digits each; `mixed`, the default: 40 % of the values are a word. */
  readonly values?: "mixed" | "numbers";
}

/** A hidden fact: what asks for it, and the value that recalls it. */
export interface Fact {
  /** Words that name it. */
  readonly name: string;
  /** Token ids to put behind the text. */
  readonly question: readonly number[];
  /** The value alone, as text. */
  readonly answer: string;
  /** Its place in the real text: 0 the beginning, 1 the end. */
  readonly depth: number;
}

/** One text with several facts, each to be asked in a continuation of its own. */
export interface NeedleText {
  readonly ids: readonly number[];
  readonly facts: readonly Fact[];
}

/** One text that ends in the question for one of its facts. */
export interface NeedleDocument extends Fact {
  readonly ids: readonly number[];
}

/** Tokens after which an answer has ended: a space, five digits and the dot are 7. */
export const ANSWER_TOKENS_MAX = 8;

const NAME_LETTERS_MIN = 4; // as the model was trained; shorter words are mostly particles
const ONE_WORD_SHARE = 0.5; // of the names
const SHARED_WORD_SHARE = 0.3; // names that share their first word with another, so that both count
const WORD_VALUE_SHARE = 0.4; // of mixed values
const DIGITS = 5;

/** Encodes `text` and finds in it the words that are one token behind a space. */
export function needleSource(encoder: Encoder, text: string, bos: number): NeedleSource {
  const found = new Set(text.match(/\b[a-z]+\b/g));
  const words = [...found].filter((word) =>
    word.length >= NAME_LETTERS_MIN && encoder.encode(` ${word}`).length === 1
  ).sort();
  return { encoder, text: encoder.encode(text), words, bos };
}

/**
 * One text of exactly `tokens` tokens with its facts; the question is not part of it.
 *
 * @throws {SpecacheError} `argument` where the facts or the text do not fit the length.
 */
export function needleText(source: NeedleSource, options: NeedleOptions): NeedleText {
  return compose(source, options, new Draws(options.seed), () => 0);
}

/** One text that ends in the question for a fact, drawn too; `tokens` tokens in all. */
export function needleDocument(source: NeedleSource, options: NeedleOptions): NeedleDocument {
  const draws = new Draws(options.seed);
  let asked = 0; // drawn before the text is laid out, which must leave room for the question
  const { ids, facts } = compose(source, options, draws, (all) => {
    asked = draws.below(all.length);
    return all[asked].question.length;
  });
  const fact = facts[asked];
  return { ...fact, ids: [...ids, ...fact.question] };
}

/** Whether `generated` is the value up to the dot: " 48213." recalls 48213, " 482135" does not. */
export function recalls(generated: string, answer: string): boolean {
  return generated.trimStart().split(".")[0] === answer;
}

interface HiddenFact extends Omit<Fact, "depth"> {
  readonly sentence: readonly number[];
}

function compose(
  source: NeedleSource,
  { tokens, facts: count, values = "mixed" }: NeedleOptions,
  draws: Draws,
  behind: (facts: readonly HiddenFact[]) => number,
): NeedleText {
  const { encoder, text, words, bos } = source;
  const facts = names(words, count, draws).map((name) =>
    hide(encoder, name, value(words, values, draws))
  );
  const taken = facts.reduce((sum, { sentence }) => sum + sentence.length, 0);
  const room = tokens - 1 - taken - behind(facts); // 1: bos
  if (room < 0 || room > text.length) {
    throw new SpecacheError(
      "argument",
      `Cannot make a recall task: tokens ${tokens} leave ${room} for text that has ${text.length}`,
      { details: { tokens, room, textTokens: text.length } },
    );
  }
  const start = draws.below(text.length - room + 1);
  const places = facts.map(() => draws.below(room + 1)).sort((a, b) => a - b);
  const ids = [bos];
  facts.forEach(({ sentence }, fact) => {
    const from = fact === 0 ? 0 : places[fact - 1];
    ids.push(...text.slice(start + from, start + places[fact]), ...sentence);
  });
  ids.push(...text.slice(start + (places.at(-1) ?? 0), start + room));
  const placed = facts.map(({ name, question, answer }, fact) => {
    return { name, question, answer, depth: places[fact] / Math.max(1, room) };
  });
  return { ids, facts: placed };
}

function names(words: readonly string[], count: number, draws: Draws): string[] {
  const drawn = new Set<string>();
  while (drawn.size < count) {
    const shared = drawn.size > 0 && draws.chance() < SHARED_WORD_SHARE;
    if (shared) drawn.add(`${draws.of([...drawn]).split(" ")[0]} ${draws.of(words)}`);
    else if (draws.chance() < ONE_WORD_SHARE) drawn.add(draws.of(words));
    else drawn.add(`${draws.of(words)} ${draws.of(words)}`);
  }
  return [...drawn];
}

function value(words: readonly string[], values: "mixed" | "numbers", draws: Draws): string {
  if (values === "mixed" && draws.chance() < WORD_VALUE_SHARE) return draws.of(words);
  return Array.from({ length: DIGITS }, () => draws.below(10)).join("");
}

function hide(encoder: Encoder, name: string, answer: string): HiddenFact {
  return {
    name,
    answer,
    sentence: encoder.encode(` The code of ${name} is ${answer}.`),
    question: encoder.encode(`\nRecall: The code of ${name} is`),
  };
}
