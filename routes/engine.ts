// engine.ts - what the routes need of an engine, in this process or on another host. Types alone:
// nothing here loads the library.
import type { GenerateOptions, PromptOptions, SessionOptions } from "../engine/config_generate.ts";
import type { EngineStats } from "../engine/engine_stats.ts";
import type { GenerateResult, Piece } from "../engine/generation.ts";
import type { Observation, ObserveOptions } from "../engine/observation.ts";
import type { CachePlan } from "../engine/plan.ts";
import type { CacheStats } from "../engine/stats.ts";

/** An engine that is served; Engine is one. */
export interface ServedEngine {
  /** The model. */
  readonly model: { readonly name: string };
  /** Longest sequence in tokens: a prompt and its answer. */
  readonly contextTokens: number;
  /** A token's own text; empty where it has none. */
  tokenText(id: number): string;
  /** Generates; what it refuses at once it throws, what it meets later the result rejects with. */
  generate(options: GenerateOptions): ServedGeneration;
  /** A new, empty session; it may have to wait for a place. */
  session(options?: SessionOptions): Promise<ServedSession>;
  /** Bytes of the cache for a sequence of `tokens`. */
  plan(tokens?: number): CachePlan | Promise<CachePlan>;
  /** What it holds, and what it has done. */
  stats(): Promise<EngineStats>;
  /** Others use it too than who asks by this application, so what it counts is of them as well. */
  readonly shared?: true;
  /** What it does now; left out: it cannot tell. */
  observe?(options: ObserveOptions): Promise<Observation>;
  /** Rejects where it takes no requests now; left out: it always does. */
  ready?(): Promise<void>;
  /**
   * Answers requests below /v1/sessions and /v1/stores for a tenant, where their memory is on other
   * hosts; left out: the routes hold sessions and stores themselves.
   */
  pass?(request: Request, tenant: string): Promise<Response>;
}

/** A running generation; Generation is one. */
export interface ServedGeneration extends AsyncIterable<Piece> {
  /**
   * Whether it runs, once its turn has come; false: it ended while it waited. Rejects as the result
   * does with what refused it.
   */
  readonly started: Promise<boolean>;
  /** Settles when it has ended and its memory is free. */
  readonly result: Promise<GenerateResult>;
}

/** One text that grows; Session is one. */
export interface ServedSession {
  /** Tokens that it holds. */
  readonly length: number;
  /** Goes on from what it holds. */
  generate(options: GenerateOptions): ServedGeneration;
  /** Reads a prompt and generates nothing. */
  append(options: PromptOptions): Promise<void>;
  /** A second session with the same tokens; it may have to wait for a place. */
  fork(options?: SessionOptions): Promise<ServedSession>;
  /** Forgets all but the first `tokens`. */
  truncate(tokens: number): Promise<void>;
  /** What it holds, tier by tier. */
  stats(): Promise<CacheStats>;
  /** Gives its memory back; twice is fine. */
  close(): Promise<void>;
}
