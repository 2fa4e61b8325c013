// accept.ts - how many lookup guesses a step runs as inputs that may be accepted.
//
// An input more costs a share `c` of a step and gives a token if all guesses up to it are right, so
// the n-th pays while right^n > c. Both are learned in the text itself: every lookup guess is held
// against the token that came, whether it ran or not; steps are timed by their inputs.

import type { Accept } from "./config.ts";

const FORGET = 0.9; // weight of what was learned before, at each step
const RIGHT_AT_FIRST = 0.5; // no text has shown anything yet
const COST_AT_FIRST = 0.5; // of a step: two inputs share the weights, not the attention
const MARGIN = 1.1; // gains below a tenth of a step are not worth their noise

/** What a text has shown so far. */
export class AcceptPolicy {
  #right = RIGHT_AT_FIRST;
  #single = 0; // milliseconds of a step without such inputs; 0: none was timed
  #input = 0; // milliseconds that each of them added; 0: none was timed

  constructor(readonly accept: Accept) {}

  /** Inputs that pay, of `most`. */
  inputs(most: number): number {
    if (this.accept === "off") return 0;
    if (this.accept === "on") return most;
    const cost = this.#single > 0 && this.#input > 0 ? this.#input / this.#single : COST_AT_FIRST;
    let count = 0;
    while (count < most && this.#right ** (count + 1) > cost * MARGIN) count++;
    return count;
  }

  /** Whether lookups have been right lately, more often than not. */
  get likely(): boolean {
    return this.#right > RIGHT_AT_FIRST;
  }

  /** Takes whether the first guess of a lookup was right. */
  heard(right: boolean): void {
    this.#right = FORGET * this.#right + (1 - FORGET) * (right ? 1 : 0);
  }

  /** Takes how long a step with so many guesses that may be accepted took. */
  timed(guesses: number, milliseconds: number): void {
    const mix = (old: number, now: number) => old === 0 ? now : FORGET * old + (1 - FORGET) * now;
    if (guesses === 0) this.#single = mix(this.#single, milliseconds);
    else if (this.#single > 0) {
      const added = Math.max(0.01, milliseconds - this.#single) / guesses;
      this.#input = mix(this.#input, added);
    }
  }
}
