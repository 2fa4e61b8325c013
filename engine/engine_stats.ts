// engine_stats.ts - what an engine holds, and what it has done since it was opened.
import type { PrefixCounts } from "./prefixes.ts";
import { type CacheStats, noStats } from "./stats.ts";

/** What the worker counts. */
export interface EngineCounters extends FetchCounts {
  /** Sessions that are open. */
  readonly sessions: number;
  /** Requests that wait for their turn. */
  readonly waiting: number;
  /** Texts that are kept for later prompts, and what was reused of them. */
  readonly prefixes: PrefixCounts;
  /** Pages of the pool, and those that no text holds. */
  readonly pages: { readonly free: number; readonly all: number };
  /** Tokens that sessions, requests that run and texts that are kept hold. */
  readonly tokens: number;
  /** Near bytes that they hold. Forks share pages: each counts its own view of them. */
  readonly nearBytes: number;
  /** Bytes of a 16-bit cache of these tokens. */
  readonly fullBytes: number;
  /** Requests that ran and how they came out; `ended` as they were asked to. */
  readonly requests: {
    readonly ended: number;
    readonly cancelled: number;
    readonly failed: number;
  };
  /** How often requests that ran were set back, as others needed their pages. */
  readonly setBack: number;
  /** Tokens that they held, and came to hold again. */
  readonly recomputedTokens: number;
  /** Tokens of prompts that were read. */
  readonly promptTokens: number;
  /** Tokens that were held already before prompts. */
  readonly cachedTokens: number;
  /** Of these, those that were generated. */
  readonly cachedGeneratedTokens: number;
  /** Tokens generated. */
  readonly completionTokens: number;
  /** Milliseconds of requests until their prompt was read. */
  readonly prefillMs: number;
  /** Milliseconds of requests from then on. */
  readonly decodeMs: number;
}

/** What steps fetched and guessed; CacheStats defines each. */
export interface FetchCounts {
  /** Rows that inputs chose and how they came. */
  readonly rows: { readonly prefetched: number; readonly late: number; readonly reused: number };
  /** Bytes copied from far to near. */
  readonly fetchedBytes: number;
  /** Milliseconds of fetches. */
  readonly fetch: CacheStats["fetch"];
  /** Guesses made, those that were right, and those taken as tokens at once. */
  readonly guess: { readonly made: number; readonly right: number; readonly accepted: number };
}

/** What an engine holds, and what it has done since it was opened. */
export interface EngineStats extends EngineCounters {
  /** Sessions that may be open at a time. */
  readonly sessionsMax: number;
  /** Requests that run; others wait. */
  readonly running: number;
  /** Near memory reserved when the engine was opened, whatever sessions hold of it. */
  readonly reservedBytes: number;
  /** Far memory reserved. */
  readonly farBytes: number;
}

// What a request adds to the counters.
type RequestCounts = Pick<
  EngineCounters,
  | "promptTokens"
  | "cachedTokens"
  | "cachedGeneratedTokens"
  | "completionTokens"
  | "prefillMs"
  | "decodeMs"
>;

type RequestSums =
  & RequestCounts
  & Pick<
    EngineCounters,
    "requests" | "recomputedTokens" | "rows" | "fetchedBytes" | "fetch" | "guess"
  >;

type Fetched = ReturnType<typeof fetchedOf>;

type Outcome = keyof EngineCounters["requests"];

/** Sums over requests. */
export class RequestTotals {
  #requests = { ended: 0, cancelled: 0, failed: 0 };
  #sums = {
    ...{ promptTokens: 0, cachedTokens: 0, cachedGeneratedTokens: 0, completionTokens: 0 },
    ...{ prefillMs: 0, decodeMs: 0 },
  };
  #recomputed = 0;
  #fetched: Fetched = fetchedOf(noStats("full"));

  /** Counts a request; one that failed has nothing to add. */
  add(outcome: Outcome, counts?: RequestCounts): void {
    this.#requests[outcome]++;
    if (counts === undefined) return;
    const names = Object.keys(this.#sums) as (keyof RequestCounts)[];
    for (const name of names) this.#sums[name] += counts[name];
  }

  /** Counts tokens that a request came to hold again. */
  recomputed(tokens: number): void {
    this.#recomputed += tokens;
  }

  /** Counts what was fetched between two looks at a text. */
  fetched(before: CacheStats, after: CacheStats): void {
    const [from, to] = [fetchedOf(before), fetchedOf(after)];
    const names = Object.keys(to) as (keyof Fetched)[];
    for (const name of names) this.#fetched[name] += to[name] - from[name];
  }

  /** The sums so far. */
  get sums(): RequestSums {
    const { prefetched, late, reused, fetchedBytes, ...sums } = this.#fetched;
    const { hiddenMs, waitedMs, lateMs, made, right, accepted } = sums;
    return {
      requests: { ...this.#requests },
      recomputedTokens: this.#recomputed,
      ...this.#sums,
      rows: { prefetched, late, reused },
      fetchedBytes,
      fetch: { hiddenMs, waitedMs, lateMs },
      guess: { made, right, accepted },
    };
  }
}

// Counters of a text that only grow, side by side.
function fetchedOf({ guess, fetch, ...rows }: CacheStats) {
  const { prefetchedRows, lateRows, reusedRows, fetchedBytes } = rows;
  const { made, right, accepted } = guess;
  return {
    ...{ prefetched: prefetchedRows, late: lateRows, reused: reusedRows, fetchedBytes },
    ...fetch,
    ...{ made, right, accepted },
  };
}
