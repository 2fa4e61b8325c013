// prefixes.ts - texts that have ended and are kept, so that a later prompt with the same beginning
// reads only the rest. A text keeps its sequence; who goes on from it forks that, so full pages are
// shared. What was read of a prompt saw everything exactly, what was generated saw codes: by
// default only the former is reused, and an answer is that of a cold run, token for token (DESIGN
// section 4). What was used least recently leaves first, a text's end before its beginning.
import type { Reuse } from "./config.ts";
import type { DecodeState } from "./decode_state.ts";
import type { NativeStore } from "./native.ts";

/** Tokens of a page; fewer in common are not worth a fork. */
export const PAGE_TOKENS = 64;

/** What was reused and what has left, since the engine was opened. */
export interface PrefixCounts {
  /** Texts that are kept. */
  readonly kept: number;
  /** Prompts that began with one. */
  readonly hits: number;
  /** Prompts that did not. */
  readonly misses: number;
  /** Pages that left to make room. */
  readonly evictedPages: number;
}

/** A text that another may begin with. */
export interface Origin {
  readonly state: DecodeState;
  /** Only texts of the same salt see it; null: none does. */
  readonly salt: string | null;
}

/** Pages up to `tokens` that were last used together. */
interface Use {
  tokens: number;
  /** Counts uses; a greater one is later. */
  at: number;
}

interface Kept extends Origin {
  /** From the beginning of the text on; later pages were never used later. */
  uses: Use[];
}

/** What a new text begins with. */
export interface Beginning {
  /** A fork of the text that was found, cut to what both have. */
  readonly state: DecodeState;
  /** Tokens of it that were generated, not read. */
  readonly generated: number;
  /** Counts it as used: it was let in. */
  use(): void;
}

/** Texts that are kept. */
export class Prefixes {
  readonly #store: NativeStore;
  readonly #most: number;
  readonly #reuse: Reuse;
  /** Texts that run, whose beginnings can be reused already. */
  readonly #running: () => Iterable<Origin>;
  #kept: Kept[] = [];
  #uses = 0;
  #hits = 0;
  #misses = 0;
  #evictedPages = 0;

  /** At most `most` texts are kept. */
  constructor(
    store: NativeStore,
    { most, reuse }: { readonly most: number; readonly reuse: Reuse },
    running: () => Iterable<Origin>,
  ) {
    this.#store = store;
    this.#most = reuse === "none" ? 0 : most;
    this.#reuse = reuse;
    this.#running = running;
  }

  /** Counts so far. */
  get counts(): PrefixCounts {
    const [kept, hits, misses] = [this.#kept.length, this.#hits, this.#misses];
    return { kept, hits, misses, evictedPages: this.#evictedPages };
  }

  /**
   * A fork of the text that has most in common with `ids`, of which the last is left to be read;
   * null: none has a page. A sequence must be free.
   */
  fork(salt: string, ids: readonly number[]): Beginning | null {
    if (this.#most === 0) return null;
    let [best, tokens]: [Origin | null, number] = [null, PAGE_TOKENS - 1];
    for (const origin of [...this.#kept, ...this.#running()]) {
      if (origin.salt !== salt) continue;
      const most = Math.min(this.#reusable(origin.state), ids.length - 1);
      const same = sameTokens(origin.state, ids, most);
      if (same > tokens) [best, tokens] = [origin, same];
    }
    if (best === null) return null;
    const origin = best;
    const { state } = origin;
    const fork = state.fork(this.#store.fork(state.sequence));
    if (!this.#cut(fork, tokens)) {
      this.#store.closeSequence(fork.sequence);
      this.#forget(origin);
      return null; // what is spoilt is read anew
    }
    const use = () => this.#use(origin, tokens);
    return { state: fork, generated: fork.generatedIn(tokens), use };
  }

  /** Pages that are free once all texts have left, at least. */
  get pages(): number {
    return this.#kept.reduce((sum, { state }) => {
      return sum + this.#store.sequencePages(state.sequence).own;
    }, 0);
  }

  /** Counts a prompt that was admitted: whether it began with a text that was kept. */
  count(hit: boolean): void {
    if (this.#most === 0) return;
    if (hit) this.#hits++;
    else this.#misses++;
  }

  /** Keeps a text that has ended, or closes it where another says all that it does. */
  keep(state: DecodeState, salt: string): void {
    const tokens = this.#reusable(state);
    const { ids } = state.text;
    const covering = this.#kept.find((other) =>
      other.salt === salt && other.state.length >= tokens &&
      sameTokens(other.state, ids, tokens) === tokens
    );
    if (this.#most === 0 || tokens < PAGE_TOKENS || covering !== undefined) {
      if (covering !== undefined) this.#use(covering, tokens);
      this.#store.closeSequence(state.sequence);
      return;
    }
    for (const other of this.#kept.filter((each) => each.salt === salt)) {
      const all = other.state.length;
      if (all <= tokens && sameTokens(other.state, ids, all) === all) this.#close(other);
    }
    if (this.#kept.length === this.#most) this.#evictText();
    if (!this.#cut(state, tokens)) {
      this.#store.closeSequence(state.sequence);
      return;
    }
    const uses = [{ tokens, at: ++this.#uses }];
    this.#kept.push({ state, salt, uses });
  }

  /** Gives up the pages that were used least recently; false: there are none. */
  evict(): boolean {
    const oldest = this.#oldest();
    if (oldest === null) return false;
    const { state, uses } = oldest;
    const before = uses.length > 1 ? uses.at(-2)!.tokens : 0;
    if (before < PAGE_TOKENS) {
      this.#evictText(oldest);
      return true;
    }
    const pages = pagesOf(state.length) - pagesOf(before);
    if (this.#cut(state, before)) {
      this.#evictedPages += pages;
      uses.pop();
    } else this.#evictText(oldest);
    return true;
  }

  /** The texts that are kept. */
  *states(): Generator<DecodeState> {
    for (const { state } of this.#kept) yield state;
  }

  #reusable(state: DecodeState): number {
    return this.#reuse === "generated" ? state.length : state.readTokens;
  }

  #oldest(): Kept | null {
    let oldest: Kept | null = null;
    for (const kept of this.#kept) {
      if (oldest === null || kept.uses.at(-1)!.at < oldest.uses.at(-1)!.at) oldest = kept;
    }
    return oldest;
  }

  #evictText(text: Kept = this.#oldest()!): void {
    this.#evictedPages += pagesOf(text.state.length);
    this.#close(text);
  }

  // False: its far memory cannot be read, as where a page is spoilt.
  #cut(state: DecodeState, tokens: number): boolean {
    try {
      if (tokens < state.length) this.#store.truncate(state.sequence, tokens);
    } catch {
      return false;
    }
    state.cut(tokens);
    return true;
  }

  // A text that runs stays: it hears of its far memory itself.
  #forget(origin: Origin): void {
    const kept = this.#kept.find((each) => each === origin);
    if (kept !== undefined) this.#close(kept);
  }

  #close(text: Kept): void {
    this.#kept = this.#kept.filter((other) => other !== text);
    this.#store.closeSequence(text.state.sequence);
  }

  // Pages up to `tokens` are used now; those behind keep their time.
  #use(origin: Origin, tokens: number): void {
    const kept = this.#kept.find((each) => each === origin);
    if (kept === undefined) return;
    const full = tokens - tokens % PAGE_TOKENS;
    const behind = kept.uses.filter((use) => use.tokens > full);
    kept.uses = [{ tokens: full, at: ++this.#uses }, ...behind];
    if (behind.length === 0) kept.uses[0].tokens = tokens;
  }
}

// Tokens that both begin with, `most` at most.
function sameTokens({ text }: DecodeState, ids: readonly number[], most: number): number {
  const held = text.ids;
  const end = Math.min(most, held.length, ids.length);
  let same = 0;
  while (same < end && held[same] === ids[same]) same++;
  return same;
}

function pagesOf(tokens: number): number {
  return Math.floor(tokens / PAGE_TOKENS);
}
