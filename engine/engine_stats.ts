// engine_stats.ts - what an engine holds, and what it has done since it was opened.
import type { PrefixCounts } from "./prefixes.ts";
import { type CacheStats, noStats } from "./stats.ts";

/** What the worker counts. */
export interface EngineCounters {
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
  /** Tokens of prompts that were read. */
  readonly promptTokens: number;
  /** Tokens that were held already before prompts; of these, those that were generated. */
  readonly cachedTokens: number;
  readonly cachedGeneratedTokens: number;
  /** Tokens generated. */
  readonly completionTokens: number;
  /** Milliseconds of requests until their prompt was read. */
  readonly prefillMs: number;
  /** Milliseconds of requests from then on. */
  readonly decodeMs: number;
  /** What requests fetched, as CacheStats counts it. */
  readonly fetches: FetchCounts;
}

/** Sums of what requests fetched; CacheStats defines each. */
export interface FetchCounts {
  readonly prefetchedRows: number;
  readonly lateRows: number;
  readonly reusedRows: number;
  readonly fetchedBytes: number;
  readonly hiddenMs: number;
  readonly waitedMs: number;
  readonly lateMs: number;
  readonly guessesMade: number;
  readonly guessesRight: number;
  readonly guessesAccepted: number;
}

/** What an engine holds, and what it has done since it was opened. */
export interface EngineStats extends EngineCounters {
  /** Sessions that may be open at a time. */
  readonly sessionsMax: number;
  /** Requests that run or wait for their turn. */
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

type Outcome = keyof EngineCounters["requests"];

/** Sums over requests. */
export class RequestTotals {
  #requests = { ended: 0, cancelled: 0, failed: 0 };
  #sums = {
    ...{ promptTokens: 0, cachedTokens: 0, cachedGeneratedTokens: 0, completionTokens: 0 },
    ...{ prefillMs: 0, decodeMs: 0 },
  };
  #fetches: FetchCounts = countsOf(noStats("full"));

  /** Counts a request; one that failed has nothing to add. */
  add(outcome: Outcome, counts?: RequestCounts): void {
    this.#requests[outcome]++;
    if (counts === undefined) return;
    const names = Object.keys(this.#sums) as (keyof RequestCounts)[];
    for (const name of names) this.#sums[name] += counts[name];
  }

  /** Counts what was fetched between two looks at a text. */
  fetched(before: CacheStats, after: CacheStats): void {
    const [from, to] = [countsOf(before), countsOf(after)];
    const names = Object.keys(this.#fetches) as (keyof FetchCounts)[];
    const sums = names.map((name) => [name, this.#fetches[name] + to[name] - from[name]]);
    this.#fetches = Object.fromEntries(sums);
  }

  /** The sums so far. */
  get sums(): RequestCounts & Pick<EngineCounters, "requests" | "fetches"> {
    return { requests: { ...this.#requests }, ...this.#sums, fetches: this.#fetches };
  }
}

function countsOf({ guess, fetch, ...rows }: CacheStats): FetchCounts {
  const { prefetchedRows, lateRows, reusedRows, fetchedBytes } = rows;
  const { hiddenMs, waitedMs, lateMs } = fetch;
  return {
    ...{ prefetchedRows, lateRows, reusedRows, fetchedBytes, hiddenMs, waitedMs, lateMs },
    ...{ guessesMade: guess.made, guessesRight: guess.right, guessesAccepted: guess.accepted },
  };
}
