// stats.ts - what a sequence holds and what its fetches did, read from the library's counters.
//   counters  (12)  u64   in the order of specache_stats in native/specache.h

import type { AuditStats } from "./audit.ts";
import type { Mode } from "./config.ts";

/** Guesses that ran beside a true token, and how many the text then confirmed. */
export interface GuessCount {
  /** Steps that ran a guess as their input 1. */
  made: number;
  /** Those whose guess equalled the token then emitted. */
  right: number;
}

/** Guess counts, all together and by source. */
export interface GuessStats extends GuessCount {
  /** Guesses that were right and taken as tokens at once. */
  accepted: number;
  /** `chain`: predicted by the guess of the step before; `lookup`: found earlier in the text. */
  readonly bySource: { readonly chain: GuessCount; readonly lookup: GuessCount };
}

/** What a sequence holds and what was fetched for it; DESIGN section 8 defines each. */
export interface CacheStats {
  /** Mode of the cache. */
  readonly mode: Mode;
  /** Tokens held. */
  readonly tokens: number;
  /** Bytes of codes, sinks, window, slots and tables. */
  readonly nearBytes: number;
  /** Bytes of far memory reserved. */
  readonly farBytes: number;
  /** Bytes of a 16-bit cache of the same tokens. */
  readonly fullBytes: number;
  /** nearBytes / fullBytes; 0 where no token is held. */
  readonly ratio: number;
  /** Rows fetched because a guess chose them. */
  readonly prefetchedRows: number;
  /** Rows that input 0 chose and no slot held. */
  readonly lateRows: number;
  /** Chosen rows that a slot already held. */
  readonly reusedRows: number;
  /** Bytes copied from far to near. */
  readonly fetchedBytes: number;
  /** Guesses made and right. */
  readonly guess: GuessStats;
  /** Milliseconds of fetches: beside computation, waited for, and late; 0 with device cuda. */
  readonly fetch: {
    readonly hiddenMs: number;
    readonly waitedMs: number;
    readonly lateMs: number;
  };
  /** What was lost, as far as it was audited; null where nothing is. */
  readonly audit: AuditStats | null;
}

/** Counters of specache_sequence_stats. */
export const STATS_COUNT = 12;

/** No guess made yet. */
export function noGuesses(): GuessStats {
  return {
    made: 0,
    right: 0,
    accepted: 0,
    bySource: { chain: { made: 0, right: 0 }, lookup: { made: 0, right: 0 } },
  };
}

/** What a text holds that has not begun. */
export function noStats(mode: Mode): CacheStats {
  return { ...readStats(new BigUint64Array(STATS_COUNT), mode, noGuesses()), audit: null };
}

/** Names the counters (12) of a sequence. */
export function readStats(
  counters: BigUint64Array,
  mode: Mode,
  guess: GuessStats,
): Omit<CacheStats, "audit"> {
  const [tokens, nearBytes, farBytes, fullBytes, ...moved] = Array.from(counters, Number);
  const [prefetchedRows, lateRows, reusedRows, fetchedBytes, hidden, waited, late] = moved;
  return {
    mode,
    tokens,
    nearBytes,
    farBytes,
    fullBytes,
    ratio: fullBytes === 0 ? 0 : nearBytes / fullBytes,
    prefetchedRows,
    lateRows,
    reusedRows,
    fetchedBytes,
    guess,
    fetch: { hiddenMs: hidden / 1e6, waitedMs: waited / 1e6, lateMs: late / 1e6 },
  };
}
