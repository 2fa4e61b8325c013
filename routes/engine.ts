// engine.ts - what the routes need of an engine. Types alone: nothing here loads the library.
import type { GenerateOptions, Message, PromptOptions } from "../engine/config_generate.ts";
import type { EngineStats } from "../engine/engine_stats.ts";
import type { CachePlan } from "../engine/plan.ts";
import type { CacheStats } from "../engine/stats.ts";
import type { GenerateResult, Piece } from "../engine/generation.ts";
import type { Tokenizer } from "../engine/model/tokenizer.ts";

/** An engine that is served; Engine is one. */
export interface ServedEngine {
  /** The model. */
  readonly model: { readonly name: string };
  /** Longest sequence in tokens: a prompt and its answer. */
  readonly contextTokens: number;
  /** null: the model has none. */
  readonly tokenizer: Pick<Tokenizer, "encode" | "decode"> | null;
  /** The text that messages become for the model. */
  conversation(messages: readonly Message[]): string;
  /** Generates; what it refuses at once it throws, what it meets later the result rejects with. */
  generate(options: GenerateOptions): ServedGeneration;
  /** A new, empty session. */
  session(): Promise<ServedSession>;
  /** Bytes of the cache. */
  plan(tokens?: number): CachePlan | Promise<CachePlan>;
  /** What is held, and what was done. */
  stats(): Promise<EngineStats>;
  /** A token's own text. */
  tokenText(id: number): string;
}

/** A text that grows; Session is one. */
export interface ServedSession {
  readonly length: number;
  generate(options: GenerateOptions): ServedGeneration;
  append(options: PromptOptions): Promise<void>;
  fork(): Promise<ServedSession>;
  truncate(tokens: number): Promise<void>;
  stats(): Promise<CacheStats>;
  close(): Promise<void>;
}

/** A running generation; Generation is one. */
export interface ServedGeneration extends AsyncIterable<Piece> {
  /** Settles when it runs. */
  readonly started?: Promise<boolean>;
  /** Settles when it has ended and its memory is free. */
  readonly result: Promise<GenerateResult>;
}
