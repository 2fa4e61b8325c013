// draws.ts - random choices that a task makes, all from one seed, so that it can be made again.

import { randomOf } from "../engine/sampling/race.ts";

/** A stream of random choices. */
export class Draws {
  #seed: number;
  #made = 0;

  /** Equal seeds give equal choices. */
  constructor(seed: number) {
    this.#seed = seed;
  }

  /** An integer in [0, end). */
  below(end: number): number {
    return Math.floor(this.chance() * end);
  }

  /** A number in [0, 1). */
  chance(): number {
    return randomOf(this.#seed, this.#made++);
  }

  /** One of `items`. */
  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }
}
