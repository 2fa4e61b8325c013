// observation.ts - what an engine does, as who looks on is shown it: its last turns, the requests
// that run, and of one of them the text, its guesses, and what its steps read of it.
import { z } from "zod";
import type { Mode } from "./config.ts";
import type { Stop } from "./decode.ts";
import type { FetchCounts } from "./engine_stats.ts";

/** Turns that are kept for those who look on. */
export const TURNS_KEPT = 256;
/** Columns of {@linkcode ObservedReads} at most. */
export const COLUMNS_MAX = 256;
/** Cells of {@linkcode ObservedReads} at most: with many lists there are fewer columns. */
export const CELLS_MAX = 24_576;
/** Tokens of the watched text that one observation brings at most. */
export const TEXT_TOKENS = 1024;
/** Tokens that {@linkcode ObservedReads} names at most: those that are read most. */
export const MOST_READ = 512;

/** What an observation is asked for. */
export interface ObserveOptions {
  /** Requests of this salt are shown, of the others how many there are; default none. */
  readonly salt?: string;
  /** Ticket of the request whose text is watched; left out: the salt's newest one. */
  readonly watch?: number;
  /** Turns after this one, and what was read in them; default 0: all that are kept. */
  readonly since?: number;
  /** What is known of a watched text already: its first `tokens`. */
  readonly known?: { readonly ticket: number; readonly tokens: number };
  /** Names the most read tokens of this list alone: layer * kvHeads + KV head. */
  readonly list?: number;
}

/** Checks {@linkcode ObserveOptions}. */
export const observeOptions: z.ZodType<ObserveOptions> = z.strictObject({
  salt: z.string().max(1000).optional(),
  watch: z.int().min(0).optional(),
  since: z.int().min(0).optional(),
  known: z.strictObject({ ticket: z.int().min(0), tokens: z.int().min(0) }).optional(),
  list: z.int().min(0).optional(),
});

/** A turn of the scheduler: a piece of one prompt is read, then all that decode make one step. */
export interface Turn extends FetchCounts {
  /** Counts turns that were observed, from 1. */
  readonly turn: number;
  /** Milliseconds since the engine was opened when it began. */
  readonly startMs: number;
  /** Milliseconds of the piece that was read. */
  readonly readMs: number;
  /** Its tokens. */
  readonly readTokens: number;
  /** Milliseconds of the step, with the draws of its tokens. */
  readonly stepMs: number;
  /** Sequences of the step. */
  readonly sequences: number;
  /** Its inputs, true tokens and guesses. */
  readonly inputs: number;
  /** Tokens that it gave. */
  readonly tokens: number;
}

/** A request that runs. */
export interface RunningRequest {
  /** Its name among requests. */
  readonly ticket: number;
  /** Whether its text is a session's. */
  readonly session: boolean;
  /** Tokens that its sequence holds. */
  readonly tokens: number;
  /** Tokens of its prompt that are still to be read. */
  readonly left: number;
  /** Tokens generated. */
  readonly generated: number;
  /** How many they may become. */
  readonly maxTokens: number;
  /** Milliseconds that it has run. */
  readonly ms: number;
}

/**
 * How a token came: `prompt`, read or there before the request; generated where no guess had run
 * (`plain`), where one was `right`, `wrong`, or right and taken at once (`accepted`); generated
 * while nobody looked (`unseen`).
 */
export type Came = "prompt" | "plain" | "right" | "wrong" | "accepted" | "unseen";

/** One token of a watched text. */
export interface ObservedToken {
  /** Its text; empty where a later token completes its character. */
  readonly text: string;
  /** How it came. */
  readonly came: Came;
  /** What had been guessed in its place. */
  readonly guessed?: string;
}

/** Which tokens of the tail a text's steps read by their rows, sum over `steps`. */
export interface ObservedReads {
  /** Steps that are in the sums. */
  readonly steps: number;
  /** Of the newest step's true token. */
  readonly position: number;
  /** First token of the window: it and what follows is always exact, and in no list. */
  readonly windowFrom: number;
  /** Tokens of a column; the first one begins at token 0. */
  readonly columnTokens: number;
  /**
   * Share of each column's tokens that a step read, [layers, kvHeads, columns], in 1/255, rounded
   * up.
   */
  readonly shares: Uint8Array;
  /** Of each list's rows [layers, kvHeads], the share that was in no slot, in 1/255. */
  readonly late: Uint8Array;
  /** The most read tokens, ascending: how often, and how often their row was in no slot. */
  readonly most: readonly (readonly [token: number, reads: number, late: number])[];
}

/** A request that is watched. */
export interface ObservedText {
  /** Its name among requests. */
  readonly ticket: number;
  /** How it ended, `failed` among it; null: it runs. */
  readonly ended: Stop | "failed" | null;
  /** Tokens of its text. */
  readonly length: number;
  /** Where the tokens of this observation begin. */
  readonly from: number;
  /** The text from there on, 1,024 tokens at most. */
  readonly tokens: readonly ObservedToken[];
  /** null: no step was watched since the turn that was asked for. */
  readonly reads: ObservedReads | null;
  /** Why its steps cannot be watched; null: they can. */
  readonly unwatched: string | null;
}

/** What an engine does. */
export interface Observation {
  /** Milliseconds since the engine was opened. */
  readonly nowMs: number;
  /** Cache system. */
  readonly mode: Mode;
  /** Layers of the model. */
  readonly layers: number;
  /** KV heads of a layer. */
  readonly kvHeads: number;
  /** Rows that stay near, per layer and KV head; 0: far memory is RAM, and rows are read there. */
  readonly slots: number;
  /** The newest turn. */
  readonly turn: number;
  /** Oldest first. */
  readonly turns: readonly Turn[];
  /** Those of the salt that run, oldest first. */
  readonly requests: readonly RunningRequest[];
  /** Requests of other salts that run. */
  readonly others: number;
  /** The request that is watched; null: there is none. */
  readonly watched: ObservedText | null;
}
