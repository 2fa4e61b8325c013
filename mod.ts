/**
 * specache: a KV-cache engine for long-context decoding. Importing it touches no file and loads no
 * library.
 *
 * @module
 */

export { Engine } from "./engine/engine.ts";
export { Session } from "./engine/session.ts";
export { type GenerateResult, Generation, type Piece } from "./engine/generation.ts";
export { KvStore, type StepInput, type StepOptions, type StoreRun } from "./engine/store.ts";
export { StoreThread, ThreadStore } from "./engine/store_thread.ts";
export type { Settings } from "./engine/settings.ts";
export type { ModelShape } from "./engine/model/describe.ts";
export type { TextStream, Tokenizer } from "./engine/model/tokenizer.ts";
export type { Stop } from "./engine/decode.ts";
export type { TokenLogprob } from "./engine/sampling/logprobs.ts";
export type {
  Accept,
  Activations,
  CacheOptions,
  EngineOptions,
  Far,
  Guesses,
  Isa,
  KvStoreOptions,
  KvType,
  Late,
  Mode,
  Prefetch,
  Prefill,
  Reuse,
  Rule,
  Setting,
} from "./engine/config.ts";
export type {
  GenerateOptions,
  PromptOptions,
  SessionOptions,
  ToolChoice,
} from "./engine/config_generate.ts";
export type { Message, MessageCall, Tool } from "./engine/conversation.ts";
export type { Format, SchemaFormat } from "./engine/constrain/format.ts";
export type { JsonSchema, SchemaObject } from "./engine/constrain/schema.ts";
export type { EngineCounters, EngineStats, FetchCounts } from "./engine/engine_stats.ts";
export type {
  Came,
  Observation,
  ObservedReads,
  ObservedText,
  ObservedToken,
  ObserveOptions,
  RunningRequest,
  Turn,
} from "./engine/observation.ts";
export type { PrefixCounts } from "./engine/prefixes.ts";
export type { CachePlan } from "./engine/plan.ts";
export type { AuditStats, Estimate } from "./engine/audit.ts";
export type { CacheStats, GuessCount, GuessStats } from "./engine/stats.ts";
export { type ErrorCode, SpecacheError } from "./engine/errors.ts";
export { type BuildListener, ensureLibrary, type LibraryOptions } from "./ffi/ensure.ts";
