// lists.ts - what top-k is weakest at: an answer that hangs on many places at once. Variables that
// follow one another, and words that are counted.
import { Draws } from "../draws.ts";
import { chat } from "./chat.ts";
import { stretch, type Task } from "./document.ts";

const NAMES = [
  "ALPHA",
  "BRAVO",
  "DELTA",
  "ECHO",
  "GOLF",
  "HOTEL",
  "KILO",
  "LIMA",
  "OSCAR",
  "TANGO",
];
const CHAIN = 4; // variables that hold the asked value

/** Variables set to one another; which of them hold a number is asked. */
export const tracking: Task = (source, { seed, tokens }) => {
  const draws = new Draws(seed);
  const names = shuffled(NAMES, draws);
  const [value, other] = [draws, draws].map((each) => String(10_000 + each.below(90_000)));
  const chainOf = (chain: readonly string[], value: string) =>
    chain.map((name, at) => ` VAR ${name} = ${at === 0 ? value : chain[at - 1]}.`);
  const asked = names.slice(0, CHAIN);
  const lines = interleaved(
    chainOf(asked, value),
    chainOf(names.slice(CHAIN, 2 * CHAIN), other),
    draws,
  ).map((line) => source.codec.encode(line));
  const taken = lines.reduce((sum, { length }) => sum + length, 0);
  const at = draws.chance();
  const places = lines.map(() => draws.chance()).sort((a, b) => a - b);
  const parts = {
    before: "Follow the variables in this text.\n\n",
    after: `\n\nWhich variables hold the value ${value} in the end? Name all of them.`,
    answer: `The variables that hold ${value} are ${names[0]},`,
  };
  const ids = chat(source, parts, tokens, (room) => {
    const text = stretch(source.text, room - taken, at, "tracking");
    const body: number[] = [];
    let from = 0;
    lines.forEach((line, index) => {
      const place = Math.floor(places[index] * (text.length + 1));
      body.push(...text.slice(from, place), ...line);
      from = place;
    });
    return [...body, ...text.slice(from)];
  });
  return { task: "tracking", seed, ids, answers: asked.slice(1), answerTokens: 24, depth: null };
};

const WORDS = [
  ...["apple", "bridge", "candle", "desert", "engine", "feather", "glacier", "hammer", "island"],
  ...["jacket", "kitchen", "ladder", "marble", "needle", "ocean", "pepper", "quarry", "ribbon"],
  ...["saddle", "timber", "valley", "whistle"],
];
const COMMON = 3; // words that stand out
const COMMON_SHARE = 0.5; // of all words

/** A list of words, three of them far more frequent; these are asked. */
export const count: Task = (source, { seed, tokens }) => {
  const draws = new Draws(seed);
  const words = shuffled(WORDS, draws);
  const common = words.slice(0, COMMON), rare = words.slice(COMMON);
  const parts = {
    before: "Below is a long list of words. Remember the three most frequent ones.\n\n",
    after: "\n\nWhat are the three most frequent words of the list above?",
    answer: "The three most frequent words are",
  };
  const coded = new Map(words.map((word) => [word, source.codec.encode(` ${word}`)]));
  const filler = source.codec.encode(" .")[0];
  const ids = chat(source, parts, tokens, (room) => {
    const body: number[] = [];
    while (body.length < room) {
      const word = draws.of(draws.chance() < COMMON_SHARE ? common : rare);
      body.push(...coded.get(word)!);
    }
    // The last word may not fit: the length is exact all the same.
    while (body.length > room) body.pop();
    if (body.length > 0) body[body.length - 1] = filler;
    return body;
  });
  return { task: "count", seed, ids, answers: common, answerTokens: 16, depth: null };
};

function shuffled(items: readonly string[], draws: Draws): string[] {
  const left = [...items];
  return items.map(() => left.splice(draws.below(left.length), 1)[0]);
}

// Both lists in their own order, mixed.
function interleaved(a: readonly string[], b: readonly string[], draws: Draws): string[] {
  const out: string[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const first = j === b.length || i < a.length && draws.chance() < 0.5;
    out.push(first ? a[i++] : b[j++]);
  }
  return out;
}
