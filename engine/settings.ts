// settings.ts - options with every default filled in: what a store is opened with.
// Defaults that depend on mode, tier, profile or model are here and nowhere else.

import process from "node:process";
import type {
  Accept,
  Activations,
  CacheOptions,
  EngineOptions,
  Isa,
  KvType,
  Late,
  Mode,
  Prefetch,
  Prefill,
  Reuse,
  Rule,
} from "./config.ts";
import type { GenerateOptions } from "./config_generate.ts";
import type { CallStyle } from "./constrain/calls.ts";
import { formatOf } from "./constrain/choose.ts";
import type { Format } from "./constrain/format.ts";
import { SpecacheError } from "./errors.ts";
import { greedy, type Sampling } from "./sampler.ts";

/** A cache's options, complete. */
export interface Settings {
  /** Cache system. */
  readonly mode: Mode;
  /** How keys and values are coded. */
  readonly rule: Rule;
  /** 1 or 2; 0: as the profile says. */
  readonly keyBits: 0 | 1 | 2;
  /** 1 or 2; 0: the profile's basis. */
  readonly valueBits: 0 | 1 | 2;
  /** Numbers that share a scale with rule paper. */
  readonly group: 32 | 64;
  /** Exact pairs of a step, per layer and KV head. */
  readonly k: number;
  /** Most that a request may ask for. */
  readonly kMax: number;
  /** Rows that stay near, per layer and KV head; 0 where far memory is RAM. */
  readonly slots: number;
  /** Type of exact keys and values. */
  readonly kvType: KvType;
  /** Far file, or null for RAM. */
  readonly farFile: string | null;
  /** Budget of the far file; 0: none. */
  readonly farBytes: number;
  /** Budget of near memory; 0: none. */
  readonly nearBytes: number;
  /** Tokens of a sequence at most. */
  readonly tokensMax: number;
  /** Sessions, and requests beside them, at a time. */
  readonly sequences: number;
  /** Texts that have ended and are kept. */
  readonly prefixes: number;
  /** What of them is reused. */
  readonly reuse: Reuse;
  /** Requests that may wait. */
  readonly queue: number;
  /** Sequences at once: places of texts that run, and of those that are kept. */
  readonly sequencesMax: number;
  /** Pages of 64 tokens that they share; 0: those of tokensMax for each. */
  readonly pagesMax: number;
  /** Tokens of a prefill chunk. */
  readonly chunkTokens: number;
  /** Guesses beside a true token at most. */
  readonly guessesMax: number;
  /** 0: the machine's cores. */
  readonly threads: number;
  /** Share of (step, layer, KV head) that is audited, and the seed that draws them. */
  readonly audit: number;
  /** Seed of the draws. */
  readonly auditSeed: number;
  /** Lost mass above which stats warn, or null. */
  readonly auditWarn: number | null;
  /** Whose memory is near. */
  readonly device: "cpu" | "cuda";
  /** How device cuda prefetches. */
  readonly prefetch: Prefetch;
  /** How a prompt's matrix products are made. */
  readonly prefill: Prefill;
  /** What a step's matrix products have as inputs. */
  readonly activations: Activations;
  /** `best`: what the machine has. */
  readonly isa: "best" | Isa;
}

/** One request's options, complete. */
export interface Request extends Sampling {
  /** Infinity: all that the context has room for. */
  readonly maxTokens: number;
  readonly k: number;
  readonly late: Late;
  readonly guesses: number;
  readonly accept: Accept;
  /** Tokens that a lookup gives at most. */
  readonly lookups: number;
  readonly logprobs: number;
  /** What the text is held to; null: it is free. */
  readonly format: Format | null;
}

/** What a profile brings; null without one. */
export interface ProfileParts {
  readonly keys: boolean;
  readonly values: boolean;
}

const PAGE_TOKENS = 64;
const K = 256; // exact pairs a step, and slots beside a far file
const PAPER_K = 64;
const PAPER_GROUP = 64;
const CHUNK_TOKENS = 512; // prefill tokens at a time: one layer's rows of a chunk stay in cache
/** Tokens that a request generates at most, where it does not say. */
export const MAX_TOKENS = 128;

/** Fills in what `options` leaves out, for sequences of at most `tokensMax` tokens. */
export function settle(
  options: CacheOptions & Omit<EngineOptions, "model" | "chatTemplate" | "notice">,
  tokensMax: number,
  profile: ProfileParts | null,
  action: string,
): Settings {
  const mode = options.mode ?? "specache";
  const paper = mode === "paper";
  const rule = options.rule ?? (paper ? "paper" : "rotated");
  refuseAudits(options, mode, action);
  const compact = options.setting === "compact";
  if (compact && profile === null) {
    refuse(action, "setting", options.setting, "needs a profile of the model");
  }
  const k = capped(options.k ?? options.kMax ?? (paper ? PAPER_K : K), tokensMax);
  const kMax = capped(options.kMax ?? k, tokensMax);
  const inFile = options.far !== undefined && options.far !== "ram";
  const cuda = options.device === "cuda";
  refuseDevices(options, cuda, action);
  if (k > kMax) refuse(action, "k", options.k, `is above kMax ${kMax}`);
  if (rule === "paper" && profile !== null) {
    refuse(action, "profile", options.profile, "has no use with rule paper");
  }
  if (paper && options.slots !== undefined && options.slots !== kMax) {
    refuse(action, "slots", options.slots, `is not k ${kMax}, the slots of mode paper`);
  }
  if (paper && options.guessesMax !== undefined && options.guessesMax !== 1) {
    refuse(action, "guessesMax", options.guessesMax, "is not 1, the guesses of mode paper");
  }
  return {
    mode,
    rule,
    keyBits: options.keyBits ?? (rule === "paper" ? 1 : compact ? profile?.keys ? 0 : 1 : 2),
    valueBits: options.valueBits ?? (rule === "paper" ? 1 : profile?.values ? 0 : 1),
    group: options.group ?? PAPER_GROUP,
    k,
    kMax,
    slots: paper ? kMax : capped(options.slots ?? (inFile || cuda ? K : 0), tokensMax),
    kvType: options.kvType ?? "bf16",
    farFile: inFile ? (options.far as { file: string }).file : null,
    farBytes: inFile ? (options.far as { bytes?: number }).bytes ?? 0 : 0,
    nearBytes: options.nearBytes ?? 0,
    tokensMax,
    sequences: options.sequences ?? 1,
    prefixes: options.prefixes ?? 0,
    reuse: options.reuse ?? "prompt",
    queue: options.queue ?? Infinity,
    sequencesMax: (options.sequences ?? 1) + (options.prefixes ?? 0),
    pagesMax: pagesOf(options, tokensMax, action),
    chunkTokens: CHUNK_TOKENS,
    guessesMax: options.guessesMax ?? (paper ? 1 : 3),
    threads: options.threads ?? 0,
    audit: options.audit ?? 0,
    auditSeed: options.auditSeed ?? 0,
    auditWarn: options.auditWarn ?? null,
    device: cuda ? "cuda" : "cpu",
    prefetch: options.prefetch ?? "read",
    prefill: options.prefill ?? "exact",
    activations: options.activations ?? "float",
    isa: cuda ? "best" : options.isa ?? environmentIsa(action),
  };
}

// Texts that are kept have no pages of their own: they live in what others leave free.
function pagesOf(
  options: CacheOptions & Pick<EngineOptions, "prefixes">,
  tokensMax: number,
  action: string,
): number {
  const { poolTokens, sequences = 1, prefixes = 0 } = options;
  if (poolTokens === undefined) {
    return prefixes === 0 ? 0 : sequences * Math.ceil(tokensMax / PAGE_TOKENS);
  }
  if (poolTokens < tokensMax) {
    refuse(action, "poolTokens", poolTokens, `is below contextTokens ${tokensMax}`);
  }
  if (poolTokens > sequences * tokensMax) {
    const most = `${sequences * tokensMax}, contextTokens of ${sequences} sequences`;
    refuse(action, "poolTokens", poolTokens, `is above ${most}`);
  }
  return Math.ceil(poolTokens / PAGE_TOKENS);
}

function refuseDevices(
  options: CacheOptions & Omit<EngineOptions, "model" | "chatTemplate" | "notice">,
  cuda: boolean,
  action: string,
): void {
  if (cuda && options.isa !== undefined) {
    refuse(action, "isa", options.isa, "has no use with device cuda");
  }
  if (!cuda && options.prefetch !== undefined) {
    refuse(action, "prefetch", options.prefetch, "has no use without device cuda");
  }
  if (!cuda && options.prefill === "fast") {
    refuse(action, "prefill", options.prefill, "has no use without device cuda");
  }
  if (cuda && options.activations === "int8") {
    refuse(action, "activations", options.activations, "has no use with device cuda");
  }
}

function refuseAudits(options: CacheOptions, mode: Mode, action: string): void {
  if (mode === "full" && (options.audit ?? 0) > 0) {
    refuse(action, "audit", options.audit, "has no use in mode full, which loses nothing");
  }
  for (const name of ["auditWarn", "auditSeed"] as const) {
    if (options[name] === undefined || options.audit) continue;
    refuse(action, name, options[name], "has no use without audit");
  }
}

/** Fills in what a request leaves out. */
export function settleRequest(
  options: GenerateOptions,
  settings: Settings,
  action: string,
  callStyle: () => CallStyle | null = () => null,
): Request {
  const paper = settings.mode === "paper";
  const full = settings.mode === "full";
  if (options.mode !== undefined && options.mode !== settings.mode) {
    refuse(action, "mode", options.mode, `is not ${settings.mode}, as the engine was opened`);
  }
  const k = capped(options.k ?? settings.k, settings.tokensMax);
  if (k > settings.kMax) refuse(action, "k", options.k, `is above kMax ${settings.kMax}`);
  const late = options.late ?? (paper ? "none" : "all");
  if (paper && late !== "none") refuse(action, "late", late, "is not none, as mode paper has it");
  const asked = options.guesses ?? "auto";
  const slow = settings.farFile !== null || settings.device === "cuda"; // rows worth a prefetch
  const auto = paper || slow && !full ? 1 : 0;
  const guesses = asked === "auto" ? Math.min(auto, settings.guessesMax) : asked;
  // With late rows left out a guess sees what slots hold, so it would err otherwise than a step.
  const exact = !paper && late === "all";
  const accept = exact ? options.accept ?? "auto" : "off";
  if (!paper && !exact && options.accept === "on") {
    refuse(action, "accept", options.accept, "needs late all");
  }
  if (options.accept === "on" && settings.guessesMax === 0) {
    refuse(action, "accept", options.accept, "needs guessesMax above 0");
  }
  if (paper && (options.accept ?? "off") !== "off") {
    refuse(action, "accept", options.accept, "is not off, as mode paper has it");
  }
  if (paper && guesses !== 1) refuse(action, "guesses", guesses, "is not 1, as mode paper has it");
  if (guesses > settings.guessesMax) {
    refuse(action, "guesses", guesses, `is above guessesMax ${settings.guessesMax}`);
  }
  return {
    maxTokens: options.maxTokens === "rest" ? Infinity : options.maxTokens ?? MAX_TOKENS,
    ...samplingOf(options),
    k: full ? 0 : k,
    late,
    guesses,
    accept,
    lookups: paper ? 0 : accept === "off" ? guesses : settings.guessesMax,
    logprobs: options.logprobs ?? 0,
    format: formatOf(options, callStyle),
  };
}

function samplingOf(options: GenerateOptions): Sampling {
  const names = Object.keys(greedy) as (keyof Sampling)[];
  const entries = names.map((name) => [name, options[name] ?? greedy[name]]);
  return Object.fromEntries(entries) as Sampling;
}

const ISAS: readonly string[] = ["reference", "portable", "avx2", "avx512", "neon", "amx"];

function environmentIsa(action: string): "best" | Isa {
  const isa = process.env.SPECACHE_ISA;
  if (isa === undefined || isa === "") return "best";
  if (ISAS.includes(isa)) return isa as Isa;
  return refuse(action, "SPECACHE_ISA", isa, `is none of ${ISAS.join(", ")}`);
}

function capped(value: number, tokensMax: number): number {
  return Math.min(value, tokensMax);
}

function refuse(action: string, name: string, value: unknown, relation: string): never {
  const shown = typeof value === "object" ? JSON.stringify(value) : value;
  throw new SpecacheError("argument", `Cannot ${action}: ${name} ${shown} ${relation}`, {
    details: { name, value },
  });
}
