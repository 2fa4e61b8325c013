// fake_session.ts - the sessions, plans and counters of the fake engine.
import { type CachePlan, type CacheStats, type EngineStats, SpecacheError } from "../../mod.ts";
import type { GenerateOptions, PromptOptions } from "../../mod.ts";
import type { ServedGeneration, ServedSession } from "../../routes/app.ts";

/** What sessions of a fake engine share. */
export interface FakeHost {
  readonly sessionsMax: number;
  /** Generations that run. */
  readonly running: number;
  /** Those that are open. */
  readonly open: Set<FakeSession>;
  generate(options: GenerateOptions): ServedGeneration;
}

/** A text of one-character tokens. */
export class FakeSession implements ServedSession {
  length = 0;
  closed = false;
  readonly #host: FakeHost;

  constructor(host: FakeHost) {
    if (host.open.size >= host.sessionsMax) {
      throw new SpecacheError(
        "capacity",
        `Cannot open a session: ${host.open.size} are open, and sequences is ${host.sessionsMax}`,
      );
    }
    this.#host = host;
    host.open.add(this);
  }

  generate(options: GenerateOptions): ServedGeneration {
    this.#check();
    const run = this.#host.generate(options);
    run.result.then(({ tokens }) => this.length += lengthOf(options) + tokens.length, () => {});
    return run;
  }

  append(options: PromptOptions): Promise<void> {
    this.#check();
    this.length += lengthOf(options);
    return Promise.resolve();
  }

  fork(): Promise<ServedSession> {
    this.#check();
    return Promise.resolve().then(() => {
      const fork = new FakeSession(this.#host);
      fork.length = this.length;
      return fork;
    });
  }

  truncate(tokens: number): Promise<void> {
    this.#check();
    if (tokens > this.length) {
      const sentence =
        `Cannot truncate: tokens ${tokens} is above the ${this.length} that are held`;
      throw new SpecacheError("argument", sentence, { details: { name: "tokens" } });
    }
    this.length = tokens;
    return Promise.resolve();
  }

  stats(): Promise<CacheStats> {
    this.#check();
    return Promise.resolve(cacheStats(this.length));
  }

  close(): Promise<void> {
    this.closed = true;
    this.#host.open.delete(this);
    return Promise.resolve();
  }

  #check(): void {
    if (this.closed) throw new SpecacheError("closed", "Cannot use the session: it is closed");
  }
}

/** Tokens of a prompt. */
export function lengthOf({ prompt, ids, messages }: PromptOptions): number {
  const texts = [prompt ?? "", ...messages?.map(({ content }) => content) ?? []];
  return ids?.length ?? [...texts.join("")].length;
}

/** Numbers that can be told apart. */
export function cacheStats(tokens: number): CacheStats {
  return { tokens, nearBytes: tokens * 2, farBytes: 1000, fullBytes: tokens * 8 } as CacheStats;
}

/** Numbers that can be told apart. */
export function cachePlan(tokens: number): CachePlan {
  const bytes = { nearBytes: tokens * 2, farBytes: tokens * 8, fullBytes: tokens * 8 };
  return { tokens, ...bytes, ratio: 0.25, reservedBytes: tokens * 3, parts: {} } as CachePlan;
}

/** Numbers that can be told apart. */
export function engineStats({ open, sessionsMax, running }: FakeHost): EngineStats {
  return {
    sessions: open.size,
    sessionsMax,
    tokens: [...open].reduce((sum, { length }) => sum + length, 0),
    ...{ nearBytes: 10, fullBytes: 40, reservedBytes: 100, farBytes: 400 },
    requests: { ended: 1, cancelled: 2, failed: 3 },
    ...{ promptTokens: 11, cachedTokens: 12, completionTokens: 13, running },
    ...{ prefillMs: 1500, decodeMs: 2500 },
    ...{ waiting: 5, cachedGeneratedTokens: 2, setBack: 6, recomputedTokens: 7 },
    rows: { prefetched: 21, late: 22, reused: 23 },
    fetchedBytes: 24,
    fetch: { hiddenMs: 3000, waitedMs: 500, lateMs: 250 },
    guess: { made: 31, right: 32, accepted: 33 },
    pages: { free: 41, all: 42 },
    prefixes: { kept: 51, hits: 52, misses: 53, evictedPages: 54 },
  } as EngineStats;
}
