// engine_stats.ts - what an engine holds, and what it has done since it was opened.

/** What the worker counts. */
export interface EngineCounters {
  /** Sessions that are open. */
  readonly sessions: number;
  /** Tokens that they hold. */
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
  /** Tokens that sessions held already before their prompts. */
  readonly cachedTokens: number;
  /** Tokens generated. */
  readonly completionTokens: number;
  /** Milliseconds of requests until their prompt was read. */
  readonly prefillMs: number;
  /** Milliseconds of requests from then on. */
  readonly decodeMs: number;
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
  "promptTokens" | "cachedTokens" | "completionTokens" | "prefillMs" | "decodeMs"
>;

type Outcome = keyof EngineCounters["requests"];

/** Sums over requests. */
export class RequestTotals {
  #requests = { ended: 0, cancelled: 0, failed: 0 };
  #sums = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, prefillMs: 0, decodeMs: 0 };

  /** Counts a request; one that failed has nothing to add. */
  add(outcome: Outcome, counts?: RequestCounts): void {
    this.#requests[outcome]++;
    if (counts === undefined) return;
    const names = Object.keys(this.#sums) as (keyof RequestCounts)[];
    for (const name of names) this.#sums[name] += counts[name];
  }

  /** The sums so far. */
  get sums(): Omit<EngineCounters, "sessions" | "tokens" | "nearBytes" | "fullBytes"> {
    return { requests: { ...this.#requests }, ...this.#sums };
  }
}
