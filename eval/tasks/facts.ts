// facts.ts - facts hidden in real text, asked in chat: one number, one of several with shared
// words, several numbers of one name, several names at once. The beginning of the answer is given,
// since a small model often answers beside the point otherwise.
import { Draws } from "../draws.ts";
import { chat, type ChatParts } from "./chat.ts";
import { type EvalDocument, stretch, type Task, type TaskSource } from "./document.ts";

const ADJECTIVES = ["amber", "gentle", "hollow", "ivory", "mellow", "quiet", "rustic", "silver"];
const NOUNS = ["anchor", "castle", "garden", "kettle", "lantern", "orchard", "temple", "window"];
const MEMORIZE = "Some secret numbers are hidden in the following text. Memorize them.\n\n";
const NUMBER_TOKENS = 9; // a space, six digits and what stands between two numbers

interface Fact {
  readonly name: string;
  readonly number: string;
}

/** One fact. */
export const needle: Task = (source, options) => {
  const draws = new Draws(options.seed);
  const facts = drawFacts(draws, 1);
  return hide("needle", source, options, draws, facts, facts);
};

/** One of eight facts whose names share words. */
export const multikey: Task = (source, options) => {
  const draws = new Draws(options.seed);
  const facts = drawFacts(draws, 8);
  return hide("multikey", source, options, draws, facts, [draws.of(facts)]);
};

/** Four numbers of one name, among four of others. */
export const multivalue: Task = (source, options) => {
  const draws = new Draws(options.seed);
  const [one, ...others] = drawFacts(draws, 5);
  const values = [one, ...drawFacts(draws, 3).map(({ number }) => ({ name: one.name, number }))];
  return hide("multivalue", source, options, draws, [...values, ...others], values);
};

/** Three of eight facts at once. */
export const multiquery: Task = (source, options) => {
  const draws = new Draws(options.seed);
  const facts = drawFacts(draws, 8);
  return hide("multiquery", source, options, draws, facts, facts.slice(0, 3));
};

function drawFacts(draws: Draws, count: number): Fact[] {
  const names = new Set<string>();
  while (names.size < count) names.add(`${draws.of(ADJECTIVES)} ${draws.of(NOUNS)}`);
  return [...names].map((name) => ({ name, number: String(100_000 + draws.below(900_000)) }));
}

function hide(
  task: string,
  source: TaskSource,
  { seed, tokens }: { readonly seed: number; readonly tokens: number },
  draws: Draws,
  facts: readonly Fact[],
  asked: readonly Fact[],
): EvalDocument {
  const { codec } = source;
  const sentences = facts.map(({ name, number }) =>
    codec.encode(` The secret number of the ${name} is ${number}.`)
  );
  const parts = question(asked);
  const taken = sentences.reduce((sum, { length }) => sum + length, 0);
  const start = draws.chance(), places = facts.map(() => draws.chance());
  let depth = 0;
  const ids = chat(source, parts, tokens, (room) => {
    const text = stretch(source.text, room - taken, start, task);
    const order = facts.map((_, at) => at).sort((a, b) => places[a] - places[b]);
    const body: number[] = [];
    let from = 0;
    for (const at of order) {
      const place = Math.floor(places[at] * (text.length + 1));
      body.push(...text.slice(from, place));
      if (facts[at] === asked[0]) depth = body.length / room;
      body.push(...sentences[at]);
      from = place;
    }
    return [...body, ...text.slice(from)];
  });
  const answers = asked.map(({ number }) => number);
  return { task, seed, ids, answers, answerTokens: NUMBER_TOKENS * asked.length, depth };
}

function question(asked: readonly Fact[]): ChatParts {
  const names = [...new Set(asked.map(({ name }) => `the ${name}`))];
  const listed = names.length === 1
    ? names[0]
    : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
  const many = asked.length > 1;
  const [noun, verb] = many ? ["numbers", "are"] : ["number", "is"];
  return {
    before: MEMORIZE,
    after: `\n\nWhat ${verb} the secret ${noun} of ${listed} mentioned in the text above?`,
    answer: `The secret ${noun} of ${listed} ${verb}`,
  };
}
