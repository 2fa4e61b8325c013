// room.ts - what requests and sessions may take of a store: a place each, and pages for all that a
// request may come to, so that none that runs is ever refused one. Texts that are kept for reuse
// give way.
import type { DecodeState } from "./decode_state.ts";
import { SpecacheError } from "./errors.ts";
import type { NativeStore } from "./native.ts";
import { PAGE_TOKENS, type Prefixes } from "./prefixes.ts";

/** What a request needs. */
export interface Need {
  /** Tokens that it comes to at most. */
  readonly tokens: number;
  /** Whether it takes a place: its text is no session's. */
  readonly place: boolean;
  /** Of what its text holds, the tokens that it goes on from. */
  readonly keeps: number;
}

/** A request's room. */
export interface Taken extends Need {
  readonly state: DecodeState;
}

/** Places and pages; of a request that runs it keeps what `Held` says. */
export class Room<Held extends Taken> {
  readonly #store: NativeStore;
  readonly #places: number;
  readonly #prefixes: Prefixes;
  readonly #sessions: { readonly size: number };
  /** Requests that run. */
  readonly taken: Set<Held> = new Set();

  /** `places`: sessions and requests at a time. */
  constructor(
    store: NativeStore,
    places: number,
    prefixes: Prefixes,
    sessions: { readonly size: number },
  ) {
    this.#store = store;
    this.#places = places;
    this.#prefixes = prefixes;
    this.#sessions = sessions;
  }

  /**
   * Room for a request; null: what runs has to end first. `begin` gives what it holds, once there
   * is a place.
   *
   * @throws {SpecacheError} capacity: nothing that runs could make room
   */
  take(need: Need, begin: () => Held): Held | null {
    if (need.place && !this.#hasPlace()) {
      if (this.#running() > 0) return null;
      throw this.#full();
    }
    const held = begin();
    let fits = false;
    try {
      fits = this.#makePages(this.#pagesWanted(held));
    } finally {
      if (!fits && need.place) this.#store.closeSequence(held.state.sequence);
    }
    if (fits) {
      this.taken.add(held);
      return held;
    }
    if (this.taken.size > 0) return null;
    const { all } = this.#store.pages();
    throw new SpecacheError(
      "capacity",
      `Cannot generate: ${need.tokens} tokens need more pages than the ${all} of the pool leave ` +
        `beside ${this.#sessions.size} sessions`,
      { details: { tokens: need.tokens, pages: all, sessions: this.#sessions.size } },
    );
  }

  /**
   * Whether there is a place for a session; false: what runs has to end first.
   *
   * @throws {SpecacheError} capacity: nothing that runs could make room
   */
  hasPlace(): boolean {
    if (this.#hasPlace()) return true;
    if (this.#running() > 0) return false;
    throw this.#full();
  }

  // That all places are taken.
  #full(): SpecacheError {
    const open = this.#sessions.size + this.#running();
    return new SpecacheError(
      "capacity",
      `Cannot open a sequence: ${open} sequences are open, sequences is ${this.#places}`,
      { details: { open, sequences: this.#places } },
    );
  }

  #hasPlace(): boolean {
    return this.#sessions.size + this.#running() < this.#places;
  }

  #running(): number {
    return [...this.taken].filter(({ place }) => place).length;
  }

  // Pages that a text will take which is first cut to what it goes on from. What it shares with
  // others, its beginning as a rule, does not come free by that.
  #pagesWanted({ tokens, state, keeps }: Held): number {
    const { held, own } = this.#store.sequencePages(state.sequence);
    const kept = keeps < state.length ? Math.floor(keeps / PAGE_TOKENS) : held;
    return Math.ceil(tokens / PAGE_TOKENS) - kept - Math.min(own, held - kept);
  }

  // Pages that are still to be taken.
  #pagesLeft({ tokens, state }: Taken): number {
    const held = this.#store.sequencePages(state.sequence).held;
    return Math.max(0, Math.ceil(tokens / PAGE_TOKENS) - held);
  }

  // Whether there are `more` pages beside what those that run may still take.
  #makePages(more: number): boolean {
    const needed = [...this.taken].reduce((sum, taken) => sum + this.#pagesLeft(taken), more);
    // Who has to wait anyhow takes nothing from those that are kept.
    const most = this.#store.pages().free + this.#prefixes.pages;
    if (most < needed && this.taken.size > 0) return false;
    while (this.#store.pages().free < needed) if (!this.#prefixes.evict()) return false;
    return true;
  }
}
