// messages.ts - what the main thread asks of the worker and what it answers.
// All of it survives structured cloning; errors travel as their fields.

import type { EngineCounters } from "./engine_stats.ts";
import { type ErrorCode, SpecacheError } from "./errors.ts";
import type { DecodeEvent, Stop } from "./decode.ts";
import type { ModelDescription } from "./model/describe.ts";
import type { NativeStore } from "./native.ts";
import type { ObserveAnswer, ObserveAsk } from "./observed.ts";
import type { Profile } from "./profile.ts";
import type { MeasuredProfile } from "./profile_measure.ts";
import type { Request, Settings } from "./settings.ts";
import type { CacheStats } from "./stats.ts";

/** A call and its answer, by name. */
export interface Calls {
  measure: { ask: MeasureAsk; answer: MeasuredProfile | null };
  open: { ask: OpenAsk; answer: OpenAnswer };
  session: { ask: PlaceAsk; answer: SessionAnswer | null };
  generate: { ask: GenerateAsk; answer: GenerateAnswer };
  verdict: { ask: VerdictAsk; answer: null };
  /** Somebody who waits has given up. */
  gaveUp: { ask: null; answer: null };
  engineStats: { ask: null; answer: EngineCounters };
  observe: { ask: ObserveAsk; answer: ObserveAnswer };
  held: { ask: SessionAsk; answer: SessionAnswer };
  stats: { ask: SessionAsk; answer: CacheStats };
  fork: { ask: SessionAsk & PlaceAsk; answer: SessionAnswer | null };
  truncate: { ask: SessionAsk & { readonly tokens: number }; answer: SessionAnswer };
  closeSession: { ask: SessionAsk; answer: null };
  close: { ask: null; answer: null };
}

/** What measures a profile. */
export interface MeasureAsk {
  readonly description: ModelDescription;
  readonly ids: readonly number[];
  readonly threads: number;
  readonly limitMs: number;
  readonly library: string;
}

/** What opens a store and its model. */
export interface OpenAsk {
  readonly settings: Settings;
  readonly description: ModelDescription;
  readonly profile: Profile | null;
  /** The native library's file: the one that the main thread cancels in. */
  readonly library: string;
}

/** The store's handle, for cancelling, and what it runs on. */
export interface OpenAnswer {
  readonly store: bigint;
  readonly isa: NativeStore["isa"];
  readonly threads: number;
  readonly device: string;
}

/** Who asks for a place; `cancel` as in GenerateAsk. The answer to who gave up is null. */
export interface PlaceAsk {
  readonly client: string;
  readonly cancel: Int32Array;
}

/** Names a session. */
export interface SessionAsk {
  readonly session: number;
}

/** A session and the tokens that it holds. */
export interface SessionAnswer extends SessionAsk {
  readonly length: number;
  /** Whether its text has begun: a token is held, or waits to be read. */
  readonly begun: boolean;
}

/** A request; `cancel` (1) i32 is set to 1 from the main thread. */
export interface GenerateAsk {
  /** Names it among those that run. */
  readonly ticket: number;
  /** null: a text of its own. */
  readonly session: number | null;
  /** Of a text of its own: only requests of the same salt share what was read of a prompt. */
  readonly salt: string;
  /** Who asks. */
  readonly client: string;
  readonly ids: readonly number[];
  /** Whether `ids` are the whole text, of which the session keeps what it holds already. */
  readonly whole: boolean;
  readonly request: Request;
  /** Of the Mailbox where the text is asked about that is held to a format; null: it is free. */
  readonly grammar: SharedArrayBuffer | null;
  /** Whether each token waits for a verdict before the next is told, and before the next step. */
  readonly judged: boolean;
  readonly cancel: Int32Array;
}

/** What a request tells before its answer; `started`: its turn has come. */
export type RequestEvent = DecodeEvent | { readonly kind: "started" };

/** Whether a judged request ends with the token that it told last. */
export interface VerdictAsk {
  readonly ticket: number;
  readonly stop: boolean;
}

/** How a request ended. */
export interface GenerateAnswer {
  readonly stop: Stop;
  /** Tokens of the prompt that were to be read, and those that the sequence held before it. */
  readonly promptTokens: number;
  readonly cachedTokens: number;
  /** Of the latter, those that were generated. */
  readonly cachedGeneratedTokens: number;
  /** Tokens that the sequence holds now. */
  readonly length: number;
  /** As in SessionAnswer. */
  readonly begun: boolean;
  /** Tokens told. */
  readonly completionTokens: number;
  readonly cache: CacheStats;
  /** Tokens that decode steps drew, and the steps; a prefill's own token is in neither. */
  readonly stepTokens: number;
  readonly steps: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
}

/** A call on its way to the worker. */
export type Call = {
  [Name in keyof Calls]: {
    readonly name: Name;
    readonly id: number;
    readonly ask: Calls[Name]["ask"];
  };
}[keyof Calls];

/** An answer on its way back, or an event of a request that goes on. */
export type Answer =
  | { readonly kind: "event"; readonly id: number; readonly event: RequestEvent }
  | { readonly kind: "answer"; readonly id: number; readonly answer: unknown }
  | { readonly kind: "error"; readonly id: number; readonly error: ErrorFields };

/** A SpecacheError taken apart. */
export interface ErrorFields {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** Takes an error apart; what is no SpecacheError is a fault of ours. */
export function fieldsOf(error: unknown): ErrorFields {
  if (error instanceof SpecacheError) {
    return { code: error.code, message: error.message, details: error.details };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: "internal", message: `Cannot go on in the worker: ${message}`, details: {} };
}

/** Puts an error together again. */
export function errorOf({ code, message, details }: ErrorFields): SpecacheError {
  return new SpecacheError(code, message, { details });
}
