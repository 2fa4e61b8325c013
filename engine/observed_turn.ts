// observed_turn.ts - one turn of the scheduler as it is watched: its times, and what the counters
// of its sequences came to in it.
import type { StepAsk } from "./decode.ts";
import type { Turn } from "./observation.ts";
import type { ObservedRequest } from "./observed_request.ts";
import type { CacheStats } from "./stats.ts";

/** A request in a step, and its share of it. */
export interface Stepping {
  readonly request: ObservedRequest;
  readonly share: StepAsk["share"];
}

/** What a turn is watched with. */
export interface TurnParts {
  /** When the engine was opened, as performance.now(). */
  readonly opened: number;
  /** Whose prompt is read on. */
  readonly reader: ObservedRequest | null;
  readonly stepping: readonly Stepping[];
  readonly statsOf: (request: ObservedRequest) => CacheStats;
  /** Takes the turn once it has ended. */
  readonly end: (turn: Omit<Turn, "turn">) => void;
}

/** A turn that is at work. */
export class ObservedTurn {
  readonly #parts: TurnParts;
  readonly #before: readonly CacheStats[];
  readonly #started: number;
  #read: number;

  /** It begins. */
  constructor(parts: TurnParts) {
    this.#parts = parts;
    for (const { request } of parts.stepping) request.stepping();
    this.#before = this.#stats();
    this.#started = this.#read = performance.now();
  }

  /** The piece of a prompt is read. */
  read(): void {
    this.#read = performance.now();
  }

  /** The step has ended, and with it the turn. */
  stepped(): void {
    const ended = performance.now();
    const { reader, stepping, opened, end } = this.#parts;
    for (const { request, share } of stepping) request.stepped(share.inputs);
    const after = this.#stats();
    const moved = (of: (stats: CacheStats) => number) =>
      after.reduce((sum, stats, at) => sum + of(stats) - of(this.#before[at]), 0);
    const held = moved(({ tokens }) => tokens);
    const readTokens = reader === null ? 0 : after.at(-1)!.tokens - this.#before.at(-1)!.tokens;
    end({
      startMs: this.#started - opened,
      readMs: this.#read - this.#started,
      readTokens,
      stepMs: ended - this.#read,
      sequences: stepping.length,
      inputs: stepping.reduce((sum, { share }) => sum + share.inputs.length, 0),
      tokens: held - readTokens,
      rows: {
        prefetched: moved(({ prefetchedRows }) => prefetchedRows),
        late: moved(({ lateRows }) => lateRows),
        reused: moved(({ reusedRows }) => reusedRows),
      },
      fetchedBytes: moved(({ fetchedBytes }) => fetchedBytes),
      fetch: {
        hiddenMs: moved(({ fetch }) => fetch.hiddenMs),
        waitedMs: moved(({ fetch }) => fetch.waitedMs),
        lateMs: moved(({ fetch }) => fetch.lateMs),
      },
      guess: {
        made: moved(({ guess }) => guess.made),
        right: moved(({ guess }) => guess.right),
        accepted: moved(({ guess }) => guess.accepted),
      },
    });
  }

  // The reader's last.
  #stats(): CacheStats[] {
    const { reader, stepping, statsOf } = this.#parts;
    const requests = stepping.map(({ request }) => request);
    return (reader === null ? requests : [...requests, reader]).map(statsOf);
  }
}
