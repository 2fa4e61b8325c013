// room.ts - what requests and sessions may take of a store: a place each, and pages. A request that
// grows is let in with few, and asks for more; one that does not has all that it may come to, and
// so has a session's. Where pages are wanted, texts that are kept for reuse give way, then what
// those hold that were set back.
//
// The longest that a request which grows may come to fits beside what sessions hold: so whichever
// is the oldest can always go on, if need be alone.
import type { DecodeState } from "./decode_state.ts";
import { SpecacheError } from "./errors.ts";
import type { NativeStore, SequencePages } from "./native.ts";
import { PAGE_TOKENS, type Prefixes } from "./prefixes.ts";

/** Tokens that a request has room for behind its text when it is let in, at least. */
export const LEAD_TOKENS = 2 * PAGE_TOKENS;
const FORGET = 0.9; // weight of what answers came to before, at each that ends

/** What a request needs. */
export interface Need {
  /** Tokens of its text so far: what it holds and what it is to read. */
  readonly prompt: number;
  /** Tokens that it comes to at most. */
  readonly most: number;
  /** Whether it takes a place: its text is no session's. */
  readonly place: boolean;
  /** Of what its text holds, the tokens that it goes on from. */
  readonly keeps: number;
}

/** A request's room. */
export interface Taken extends Need {
  readonly state: DecodeState;
  /** Tokens that it has pages for, or that are left for it. */
  tokens: number;
  /** Tokens that it has room for behind its text when it is let in; doubled when it is set back. */
  lead: number;
  /** Whether it takes pages as its text grows, and can be set back; else it has all at first. */
  grows: boolean;
  /** Whether it was set back, and waits. */
  back: boolean;
  /** Whether it runs and lacks pages: nobody is let in before it. */
  lacks: boolean;
}

/** Places and pages; of a request that runs it keeps what `Held` says. */
export class Room<Held extends Taken> {
  readonly #store: NativeStore;
  readonly #places: number;
  readonly #prefixes: Prefixes;
  readonly #sessions: ReadonlyMap<unknown, DecodeState>;
  readonly #taken = new Set<Held>();
  /** Tokens that answers come to, of late. */
  #expected = 0;

  /** `places`: sessions and requests at a time. */
  constructor(
    store: NativeStore,
    places: number,
    prefixes: Prefixes,
    sessions: ReadonlyMap<unknown, DecodeState>,
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
      fits = this.#fits(held);
    } finally {
      if (!fits && need.place) this.#store.closeSequence(held.state.sequence);
    }
    if (fits) {
      this.#taken.add(held);
      return held;
    }
    if (this.#taken.size > 0) return null;
    throw this.#over(need.most);
  }

  /**
   * Room to go on for one that was set back; null: what runs has to end first.
   *
   * @throws {SpecacheError} capacity: nothing that runs could make room
   */
  takeAgain(held: Held): Held | null {
    const { tokens, most, state } = held;
    held.tokens = Math.min(most, state.text.length + held.lead);
    if (!this.#anyLacks() && this.#makePages(this.#pagesLeft(held), held)) {
      held.back = false;
      return held;
    }
    held.tokens = tokens;
    if (this.anyRuns) return null;
    throw this.#over(most);
  }

  /** Whether one that runs may come to so many tokens; all that is kept gives way. */
  grow(held: Held, tokens: number): boolean {
    const before = held.tokens;
    held.tokens = tokens;
    while (this.#store.pages().free < this.#pagesAllLeft()) {
      if (this.#giveWay(this.#pagesAllLeft(), held)) continue;
      held.tokens = before;
      return false;
    }
    return true;
  }

  /** Requests that run or were set back, the oldest first. */
  get taken(): ReadonlySet<Held> {
    return this.#taken;
  }

  /** A request has no room any more. */
  leave(held: Held): void {
    if (!this.#taken.delete(held) || !held.place) return;
    const tokens = held.state.text.length - held.prompt;
    this.#expected = FORGET * this.#expected + (1 - FORGET) * tokens;
  }

  /** Whether a request runs. */
  get anyRuns(): boolean {
    return [...this.#taken].some(({ back }) => !back);
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
    return [...this.#taken].filter(({ place }) => place).length;
  }

  // Pages that a text will take which is first cut to what it goes on from. What it shares with
  // others, its beginning as a rule, does not come free by that.
  #pagesWanted({ tokens, state, keeps }: Pick<Taken, "tokens" | "state" | "keeps">): number {
    const { held, own } = this.#store.sequencePages(state.sequence);
    const kept = keeps < state.length ? Math.floor(keeps / PAGE_TOKENS) : held;
    return pagesOf(tokens) - kept - Math.min(own, held - kept);
  }

  // Whether there is room for one that begins; it is settled whether it grows.
  #fits(held: Held): boolean {
    if (this.#anyLacks()) return false;
    const more = this.#pagesWanted({ ...held, tokens: held.most });
    if (!held.place && this.#most() + this.#sessionPages() + more > this.#all()) {
      if (this.#most() > 0) return false;
    }
    if (held.grows && pagesOf(held.most) + this.#sessionPages() > this.#all()) {
      if (this.anyRuns) return false;
      held.grows = false; // whether it fits alone shows where all else has given way
    }
    held.lead = Math.max(LEAD_TOKENS, Math.ceil(this.#expected));
    held.tokens = held.grows ? Math.min(held.most, held.prompt + held.lead) : held.most;
    return this.#makePages(this.#pagesWanted(held), held);
  }

  #all(): number {
    return this.#store.pages().all;
  }

  // Pages of the longest that one which grows may come to.
  #most(): number {
    const most = [...this.#taken].map((each) => each.grows ? pagesOf(each.most) : 0);
    return Math.max(0, ...most);
  }

  // Pages that sessions hold and may take, at most: they do not come free where requests end. What
  // forks share is counted for each, or what only others share is counted too.
  #sessionPages(): number {
    const sessions = new Set(this.#sessions.values());
    const running = [...this.#taken].filter(({ place }) => !place);
    const more = running.reduce((sum, taken) => sum + this.#pagesLeft(taken), 0);
    let each = 0;
    for (const { sequence } of sessions) each += this.#store.sequencePages(sequence).held;
    const { all, free } = this.#store.pages();
    const others = [...this.#taken].filter(({ place }) => place);
    const own = others.reduce((sum, taken) => sum + this.#pages(taken).own, this.#prefixes.pages);
    return more + Math.min(each, all - free - own);
  }

  #anyLacks(): boolean {
    return [...this.#taken].some(({ lacks }) => lacks);
  }

  #over(tokens: number): SpecacheError {
    const [pages, sessions] = [this.#all(), this.#sessions.size];
    return new SpecacheError(
      "capacity",
      `Cannot generate: ${tokens} tokens need more pages than the ${pages} of the pool leave ` +
        `beside ${sessions} sessions`,
      { details: { tokens, pages, sessions } },
    );
  }

  #pages({ state }: Taken): SequencePages {
    return this.#store.sequencePages(state.sequence);
  }

  // Pages that are still to be taken.
  #pagesLeft(taken: Taken): number {
    return Math.max(0, pagesOf(taken.tokens) - this.#pages(taken).held);
  }

  // Those that are left for who runs.
  #pagesAllLeft(): number {
    const running = [...this.#taken].filter(({ back }) => !back);
    return running.reduce((sum, taken) => sum + this.#pagesLeft(taken), 0);
  }

  // Whether there are `more` pages, for one, beside what those that run may still take.
  #makePages(more: number, held: Held): boolean {
    const needed = this.#pagesAllLeft() + more;
    // Who has to wait anyhow takes nothing from those that are kept.
    const back = this.#others(held).reduce((sum, each) => sum + this.#pages(each).own, 0);
    const most = this.#store.pages().free + this.#prefixes.pages + back;
    if (most < needed && this.anyRuns) return false;
    while (this.#store.pages().free < needed) if (!this.#giveWay(needed, held)) return false;
    return true;
  }

  // Those that were set back, but for one, the youngest first.
  #others(held: Held): Held[] {
    return [...this.#taken].filter((each) => each.back && each !== held).reverse();
  }

  // Gives up pages for one, so that `needed` are free; false: nothing is left that could.
  #giveWay(needed: number, held: Held): boolean {
    if (this.#prefixes.evict()) return true;
    const others = this.#others(held);
    const short = needed - this.#store.pages().free;
    for (const which of ["own", "held"] as const) { // what it shares with those that run is free
      for (const other of others) {
        const pages = this.#pages(other);
        if (pages[which] > 0 && this.#cutBack(other, pages.held - Math.min(short, pages[which]))) {
          return true;
        }
      }
    }
    return false;
  }

  // What was set back is cut to its first pages; false: it cannot be.
  #cutBack({ state }: Held, pages: number): boolean {
    for (const tokens of [pages * PAGE_TOKENS, 0]) { // nothing is read to cut off all
      try {
        this.#store.truncate(state.sequence, tokens);
        state.setBack(tokens);
        return true;
      } catch {
        // Far memory cannot be read, or the store has failed: then the next call says so.
      }
    }
    return false;
  }
}

// Those that so many tokens take.
function pagesOf(tokens: number): number {
  return Math.ceil(tokens / PAGE_TOKENS);
}
