// config.ts - every option that a user gives, its interface and its zod schema, once.
// Unknown options are refused: a misspelt one must not be silently ignored. What depends on other
// options or on the model (defaults, caps) is in settings.ts; a generation's options are in
// config_generate.ts.

import { z } from "zod";

/** `full`: no codes. `paper`: SpeCache as published. `specache`: ours. */
export type Mode = "full" | "paper" | "specache";
/** Code rule: `rotated` is ours, `paper` the published one. */
export type Rule = "rotated" | "paper";
/** How many bits codes have. */
export type Setting = "default" | "compact";
/** What keys and values are rounded to before anything else uses them. */
export type KvType = "bf16" | "f16" | "f32";
/** Instruction set of the kernels. */
export type Isa = "reference" | "portable" | "avx2" | "avx512" | "neon" | "amx";
/** Device cuda: rows are read in place by a kernel, or gathered by the host and copied at once. */
export type Prefetch = "read" | "gather";
/**
 * How a prompt's matrix products are made: `exact`, the same bits however the prompt is cut, or
 * `fast`, by cuBLAS with operands of 16 bits.
 */
export type Prefill = "exact" | "fast";
/**
 * What weights in blocks (Q8_0, Q4_0, Q4_1, Q4_K, Q5_K, Q6_K) meet in a step's matrix products:
 * inputs as they are, or rounded to 8 bits, 32 neighbours with a scale. Other weights, and all of a
 * prompt, have floats.
 */
export type Activations = "float" | "int8";
/** Which late rows a step reads: all, none, or those whose top-k value is above a probability. */
export type Late = "all" | "none" | { readonly above: number };
/** Where far memory is: RAM, or a file; open refuses if it needs more than `bytes`. */
export type Far = "ram" | { readonly file: string; readonly bytes?: number };
/** Guesses beside each true token; `auto` is 0 where far is RAM, else 1. */
export type Guesses = "auto" | 0 | 1 | 2 | 3;

/**
 * What later prompts may reuse of a text: `prompt`, what was read of its prompt; `generated`, what
 * was generated too, which saw codes where a prompt sees rows.
 */
export type Reuse = "none" | "prompt" | "generated";

/** Whether lookup guesses are accepted: where it pays, always, or never. */
export type Accept = "auto" | "on" | "off";

/** Longest sequence that any option may ask for: f32 counts tokens exactly up to here. */
export const TOKENS_MAX = 2 ** 24;
/** Cache of keys and values, common to {@linkcode EngineOptions} and KvStoreOptions. */
export interface CacheOptions {
  /** Default `specache`. */
  readonly mode?: Mode;
  /** How keys and values are coded; default the mode's own (`paper`: `paper`). */
  readonly rule?: Rule;
  /**
   * `default`: 2-bit keys, and quarter-bit values with a profile. `compact`, which needs a profile:
   * 1-bit keys but for the tenth of the heads that need 2.
   */
  readonly setting?: Setting;
  /** Bits of a key's channel: 1 or 2; default the setting's (rule `paper`: 1). */
  readonly keyBits?: 1 | 2;
  /** Bits of a value's channel: 1 or 2; default the profile's, else 1. */
  readonly valueBits?: 1 | 2;
  /**
   * Path of a profile (safetensors), `none`, or, for engines, `auto`, the default: the one kept for
   * the model, else one that is measured at the open where that takes less than 10 seconds.
   */
  readonly profile?: string;
  /** Channels or tokens that share a scale with rule `paper`: 32 or 64, the default. */
  readonly group?: 32 | 64;
  /** Exact pairs a step takes from far memory; default 256 (`paper`: 64); 0 is codes alone. */
  readonly k?: number;
  /** Largest k that a request may ask for; default k. */
  readonly kMax?: number;
  /** Near places of fetched rows per layer and KV head; default 0 where far is RAM, else 256. */
  readonly slots?: number;
  /** Default `bf16`. */
  readonly kvType?: KvType;
  /** Default `ram`. */
  readonly far?: Far;
  /** Budget of what plan() calls reservedBytes; open refuses what does not fit. */
  readonly nearBytes?: number;
  /**
   * Share, 0 (default) to 1, of (step, layer, KV head) for which exact attention is computed too,
   * so that stats() tell what was lost; drawn by auditSeed.
   */
  readonly audit?: number;
  /** Default 0. */
  readonly auditSeed?: number;
  /** Lost mass above which stats() warn, once its whole interval is; default none. */
  readonly auditWarn?: number;
  /** Longest sequence in tokens; memory is reserved for it. */
  readonly contextTokens?: number;
  /** Sequences open at a time; default 1. */
  readonly sequences?: number;
  /**
   * Tokens that all sequences hold together at most, in pages of 64 that forks share; at least
   * contextTokens; default contextTokens for each sequence.
   */
  readonly poolTokens?: number;
  /** Guesses of a request at most, accepted ones too; default 3 (`paper`: 1). */
  readonly guessesMax?: 0 | 1 | 2 | 3;
  /** Compute threads; default the machine's cores. */
  readonly threads?: number;
  /** Default `auto`: the CPU, until device cuda has been measured on a GPU. */
  readonly device?: "auto" | "cpu" | "cuda";
  /** How device cuda prefetches; default `read`. */
  readonly prefetch?: Prefetch;
  /** Default the environment's SPECACHE_ISA, else the best that the machine has. */
  readonly isa?: Isa;
}

/** Options of Engine.open. */
export interface EngineOptions extends CacheOptions {
  /** Folder of a Hugging Face model, a GGUF file, or the name of a pulled model. */
  readonly model: string;
  /** Chat template (Jinja) instead of the model's own. */
  readonly chatTemplate?: string;
  /** Default `exact`; `fast` wants device cuda and an installed cuBLAS. */
  readonly prefill?: Prefill;
  /** Default `float`; `int8` wants device cpu. */
  readonly activations?: Activations;
  /**
   * Texts that have ended and are kept while there are free pages, so that a prompt with the same
   * beginning reads only the rest; default 0.
   */
  readonly prefixes?: number;
  /** What of them is reused; default `prompt`: no answer changes by it. */
  readonly reuse?: Reuse;
  /** Requests that may wait for their turn; default no limit. */
  readonly queue?: number;
  /**
   * Told, in a sentence, what an open does that takes time, or goes without. Left out, a build of
   * the native library is said on standard error.
   */
  readonly notice?: (sentence: string) => void;
}

/** Options of KvStore.open; contextTokens must be given. */
export interface KvStoreOptions extends CacheOptions {
  /** Transformer layers. */
  readonly layers: number;
  /** KV heads of a layer. */
  readonly kvHeads: number;
  /** Query heads of a layer, a multiple of kvHeads. */
  readonly queryHeads: number;
  /** Channels of a head: a multiple of 8 from 16 to 256. */
  readonly headDim: number;
  /** Factor of the logits; default 1/sqrt(headDim). */
  readonly scale?: number;
}

/** A run of tokens of one layer. */
export interface StoreRun {
  /** Keys after rope [tokens, kvHeads, headDim]. */
  readonly keys: Float32Array;
  /** Values [tokens, kvHeads, headDim]. */
  readonly values: Float32Array;
  /** Queries after rope [tokens, queryHeads, headDim]; without them nothing is attended. */
  readonly queries?: Float32Array;
}

/** One layer of a step. */
export interface StepInput {
  /** Queries after rope [inputs, queryHeads, headDim]. */
  readonly queries: Float32Array;
  /** Keys after rope [inputs, kvHeads, headDim]. */
  readonly keys: Float32Array;
  /** Values [inputs, kvHeads, headDim]. */
  readonly values: Float32Array;
}

/** What a step is told at its start. */
export interface StepOptions {
  /** Tokens of the step: the true one first, then guesses. */
  readonly inputs: number;
  /**
   * Inputs that may be kept: the true token, 1, the default, and guesses that may turn out right.
   * 0: all are guesses, nothing can be kept.
   */
  readonly trusted?: number;
  /** Exact pairs; default the store's k. */
  readonly k?: number;
  /** Default `all` (`paper`: `none`). */
  readonly late?: Late;
}

const bytes = z.int().min(1);
const path = z.string().min(1).refine((text) => !text.includes("\0"), {
  error: "holds a NUL character",
});

const cacheFields = {
  mode: z.enum(["full", "paper", "specache"]).optional(),
  rule: z.enum(["rotated", "paper"]).optional(),
  setting: z.enum(["default", "compact"]).optional(),
  keyBits: z.literal([1, 2]).optional(),
  valueBits: z.literal([1, 2]).optional(),
  profile: path.optional(),
  group: z.literal([32, 64]).optional(),
  k: z.int().min(0).max(TOKENS_MAX).optional(),
  kMax: z.int().min(0).max(TOKENS_MAX).optional(),
  slots: z.int().min(0).max(TOKENS_MAX).optional(),
  kvType: z.enum(["bf16", "f16", "f32"]).optional(),
  far: z.union([z.literal("ram"), z.strictObject({ file: path, bytes: bytes.optional() })], {
    error: "is neither ram nor { file, bytes? }",
  }).optional(),
  nearBytes: bytes.optional(),
  audit: z.number().min(0).max(1).optional(),
  auditSeed: z.int().min(0).optional(),
  auditWarn: z.number().min(0).max(1).optional(),
  contextTokens: z.int().min(1).max(TOKENS_MAX).optional(),
  sequences: z.int().min(1).max(1024).optional(),
  poolTokens: z.int().min(1).max(1024 * TOKENS_MAX).optional(),
  guessesMax: z.literal([0, 1, 2, 3]).optional(),
  threads: z.int().min(1).max(256).optional(),
  device: z.enum(["auto", "cpu", "cuda"]).optional(),
  prefetch: z.enum(["read", "gather"]).optional(),
  isa: z.enum(["reference", "portable", "avx2", "avx512", "neon", "amx"]).optional(),
};

/** Checks k of a step. */
export const kOfStep: z.ZodType<number> = z.int().min(0).max(TOKENS_MAX);
/** Checks {@linkcode Late}. */
export const late: z.ZodType<Late> = z.union([
  z.enum(["all", "none"]),
  z.strictObject({ above: z.number().min(0).max(1) }),
], { error: "is none of all, none, { above: 0..1 }" });

/** Checks {@linkcode EngineOptions}. */
export const engineOptions: z.ZodType<EngineOptions> = z.strictObject({
  model: path,
  chatTemplate: z.string().min(1).optional(),
  prefill: z.enum(["exact", "fast"]).optional(),
  activations: z.enum(["float", "int8"]).optional(),
  prefixes: z.int().min(0).max(1000).optional(),
  reuse: z.enum(["none", "prompt", "generated"]).optional(),
  queue: z.int().min(0).max(1e6).optional(),
  notice: z.custom<(sentence: string) => void>((value) => typeof value === "function", {
    error: "is not a function",
  }).optional(),
  ...cacheFields,
});

/** Checks {@linkcode KvStoreOptions}. */
export const kvStoreOptions: z.ZodType<KvStoreOptions> = z.strictObject({
  layers: z.int().min(1).max(1024),
  kvHeads: z.int().min(1).max(1024),
  queryHeads: z.int().min(1).max(4096),
  headDim: z.int().min(16).max(256).multipleOf(8),
  scale: z.number().positive().max(1e6).optional(),
  ...cacheFields,
});

const inputsMax = 4; // the true token and three guesses
const floats = z.custom<Float32Array>((value) => value instanceof Float32Array, {
  error: "is not a Float32Array",
});

/** Checks {@linkcode StoreRun}. */
export const storeRun: z.ZodType<StoreRun> = z.strictObject({
  keys: floats,
  values: floats,
  queries: floats.optional(),
});

/** Checks {@linkcode StepInput}. */
export const stepInput: z.ZodType<StepInput> = z.strictObject({
  queries: floats,
  keys: floats,
  values: floats,
});

/** Checks {@linkcode StepOptions}. */
export const stepOptions: z.ZodType<StepOptions> = z.strictObject({
  inputs: z.int().min(1).max(inputsMax),
  trusted: z.int().min(0).max(inputsMax).optional(),
  k: kOfStep.optional(),
  late: late.optional(),
});

/** Checks what the end of a step keeps. */
export const endOptions: z.ZodType<{ readonly keep: number }> = z.strictObject({
  keep: z.int().min(0).max(inputsMax),
});

/** What a profile is measured on, and where it is written. */
export interface ProfileOptions {
  readonly model: string;
  /** File of the text. */
  readonly text?: string;
  /** Tokens of it, at least two pages. */
  readonly tokens?: number;
  readonly threads?: number;
  readonly output?: string;
}

/** Checks {@linkcode ProfileOptions}. */
export const profileOptions: z.ZodType<ProfileOptions> = z.strictObject({
  model: path,
  text: path.optional(),
  tokens: z.int().min(128).max(TOKENS_MAX).optional(),
  threads: cacheFields.threads,
  output: path.optional(),
});

/** Checks a count of tokens. */
export const tokenCount: z.ZodType<{ readonly tokens: number }> = z.strictObject({
  tokens: z.int().min(0).max(TOKENS_MAX),
});
