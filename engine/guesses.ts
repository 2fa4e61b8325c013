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
  /** Guesses for the tokens after the next true one, nearest first. */
  readonly tokens: readonly number[];
  /** Takes what each input of a step predicted: input 0 the true token, input i a guess. */
  advance(predicted: readonly number[]): void;
  /** Takes one more guess at the end, from a pass of pre-decode. */
  extend(guess: number): void;
  /** Forgets all guesses: the text went on in another way. */
  restart(): void;
}

/** The paper's source: input i of a step is what input i of the step before predicted. */
export class Chain implements GuessSource {
  readonly name = "chain";
  #tokens: number[];

  constructor(tokens: readonly number[] = []) {
    this.#tokens = [...tokens];
  }

  get tokens(): readonly number[] {
    return this.#tokens;
  }

  advance(predicted: readonly number[]): void {
    this.#tokens = predicted.slice(1);
  }

  extend(guess: number): void {
    this.#tokens.push(guess);
  }

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
