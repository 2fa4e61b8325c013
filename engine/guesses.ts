// guesses.ts - where the guesses beside a true token come from, and how often they were right.
// A guess never decides what is right, only how much of a fetch was hidden: sources may be wrong at
// any rate.

import type { GuessStats } from "./stats.ts";

/** Names of guess sources, as the statistics have them. */
export type GuessSourceName = keyof GuessStats["bySource"];

/** One source of guesses for one sequence. */
export interface GuessSource {
  /** Its name in the statistics. */
  readonly name: GuessSourceName;
  /** At most `count` guesses for the tokens after the newest true one, nearest first. */
  after(count: number): readonly number[];
}

/**
 * A source that reads the text alone, so that a right guess costs no lead and may be accepted: a
 * lookup, and the place of a draft model.
 */
export interface TextSource extends GuessSource {
  /** Tokens of the text. */
  readonly length: number;
  /** Their ids. */
  readonly ids: readonly number[];
  /** The text goes on. */
  add(ids: readonly number[]): void;
  /** Forgets all but the first `tokens`. */
  cut(tokens: number): void;
  /** The same text for a fork of its sequence. */
  copy(): TextSource;
}

/** The paper's source: input i of a step is what input i of the step before predicted. */
export class Chain implements GuessSource {
  readonly name = "chain";
  #tokens: number[];

  constructor(tokens: readonly number[] = []) {
    this.#tokens = [...tokens];
  }

  /** Guesses at hand. */
  get length(): number {
    return this.#tokens.length;
  }

  after(count: number): readonly number[] {
    return this.#tokens.slice(0, count);
  }

  /** The same guesses for a fork of the sequence. */
  copy(): Chain {
    return new Chain(this.#tokens);
  }

  /** Takes what the inputs of a step behind its true ones predicted. */
  advance(predicted: readonly number[]): void {
    this.#tokens = predicted.slice();
  }

  /** Takes one more guess at the end, from a pass of pre-decode. */
  extend(guess: number): void {
    this.#tokens.push(guess);
  }

  /** Forgets all guesses: the text went on in another way. */
  restart(): void {
    this.#tokens = [];
  }
}

/** Counts a guess that ran as input 1 of a step which then emitted `emitted`. */
export function countGuess(
  stats: GuessStats,
  source: GuessSourceName,
  guess: number,
  emitted: number,
): void {
  for (const count of [stats, stats.bySource[source]]) {
    count.made++;
    if (guess === emitted) count.right++;
  }
}
