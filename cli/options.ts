// options.ts - the command line's flags as options. Values stay what the user wrote until zod has
// judged them, so their types are only claimed here.
import { readFileSync } from "node:fs";
import type { CacheOptions, EngineOptions } from "../engine/config.ts";
import type { GenerateOptions } from "../engine/config_generate.ts";
import { SpecacheError } from "../engine/errors.ts";
import { modelPath } from "../pull/path.ts";

/** Flags with a value; those that may be given several times have all, with NUL between them. */
export type Flags = Readonly<Record<string, string | boolean | undefined>>;

/** What a flag takes. */
export type FlagKind = {
  readonly type: "string" | "boolean";
  readonly multiple?: boolean;
};

const NUL = "\0"; // no argument of a process holds one

/** Names of flags. */
export type FlagKinds = Readonly<Record<string, FlagKind>>;
const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;

/** Flags of the cache, common to all commands. */
export const cacheFlags = {
  mode: text,
  rule: text,
  setting: text,
  k: text,
  "key-bits": text,
  "value-bits": text,
  profile: text,
  group: text,
  slots: text,
  guesses: text,
  "kv-type": text,
  far: text,
  "far-bytes": text,
  near: text,
  threads: text,
  device: text,
  prefetch: text,
  audit: text,
  "audit-seed": text,
  "audit-warn": text,
  json: flag,
  help: flag,
  verbose: flag,
} as const;

/** Flags of an answer, common to commands that give one. */
export const answerFlags = {
  model: text,
  prefill: text,
  system: text,
  "chat-template": text,
  "max-tokens": text,
  context: text,
  temperature: text,
  "top-k": text,
  "top-p": text,
  "min-p": text,
  "repetition-penalty": text,
  "presence-penalty": text,
  "frequency-penalty": text,
  seed: text,
  stop: { ...text, multiple: true },
  late: text,
  accept: text,
} as const;

/**
 * Reads --name VALUE, --name=VALUE and --name; what is not known is refused. --model becomes a path
 * where it is the name of a pulled model; modelAsked keeps that name.
 */
export function readFlags(
  command: string,
  args: readonly string[],
  options: FlagKinds,
): Flags {
  const refuse = (sentence: string): never => {
    throw new SpecacheError("argument", `Cannot ${command}: ${sentence}`);
  };
  const flags: Record<string, string | boolean> = {};
  for (let at = 0; at < args.length; at++) {
    const [, name, inline] = args[at].match(/^--([^=]+)(?:=(.*))?$/s) ??
      refuse(`${args[at] || '""'} is not a flag`);
    if (!Object.hasOwn(options, name)) refuse(`flag --${name} is not known`);
    if (options[name].type === "boolean") {
      if (inline !== undefined) refuse(`--${name} takes no value, not ${inline}`);
      flags[name] = true;
      continue;
    }
    const value = inline ?? args[++at];
    const missing = value === undefined || inline === undefined && value.startsWith("--");
    if (missing) refuse(`--${name} is given no value`);
    const more = options[name].multiple && flags[name] !== undefined;
    flags[name] = more ? `${flags[name]}${NUL}${value}` : value;
  }
  if (flags.model !== undefined && !flags.help) {
    flags.modelAsked = flags.model;
    flags.model = modelPath(String(flags.model));
  }
  return flags;
}

/** A number; what the user wrote where it is none. */
export function number(flags: Flags, name: string): number | undefined {
  const value = flags[name];
  if (value === undefined) return undefined;
  const amount = String(value).trim() === "" ? NaN : Number(value);
  return Number.isNaN(amount) ? value as unknown as number : amount;
}

function defined<T extends object>(options: T): T {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as T;
}

/** The cache's options. */
export function cacheOptions(flags: Flags): CacheOptions {
  const guesses = number(flags, "guesses");
  return defined({
    mode: flags.mode,
    rule: flags.rule,
    setting: flags.setting,
    k: number(flags, "k"),
    keyBits: number(flags, "key-bits"),
    valueBits: number(flags, "value-bits"),
    profile: flags.profile,
    group: number(flags, "group"),
    slots: number(flags, "slots"),
    kvType: flags["kv-type"],
    far: farOf(flags),
    nearBytes: number(flags, "near"),
    guessesMax: guesses !== undefined && guesses > 1 ? guesses : undefined,
    threads: number(flags, "threads"),
    device: flags.device,
    prefetch: flags.prefetch,
    audit: number(flags, "audit"),
    auditSeed: number(flags, "audit-seed"),
    auditWarn: number(flags, "audit-warn"),
  }) as CacheOptions;
}

function farOf(flags: Flags): unknown {
  const { far, "far-bytes": bytes } = flags;
  if (far !== undefined && far !== "ram") {
    return defined({ file: far, bytes: number(flags, "far-bytes") });
  }
  if (bytes === undefined) return far;
  throw new SpecacheError("argument", `Cannot reserve --far-bytes ${bytes}: --far names no file`);
}

/** The options of an engine. */
export function engineOptionsOf(flags: Flags): EngineOptions {
  return defined({
    ...cacheOptions(flags),
    model: flags.model,
    prefill: flags.prefill,
    contextTokens: number(flags, "context"),
    chatTemplate: flags["chat-template"] && readUserFile(String(flags["chat-template"])),
  }) as EngineOptions;
}

/** The options of a generation, without its prompt. */
export function generateOptionsOf(flags: Flags): GenerateOptions {
  const above = number(flags, "late");
  return defined({
    maxTokens: number(flags, "max-tokens"),
    temperature: number(flags, "temperature"),
    topK: number(flags, "top-k"),
    topP: number(flags, "top-p"),
    minP: number(flags, "min-p"),
    repetitionPenalty: number(flags, "repetition-penalty"),
    presencePenalty: number(flags, "presence-penalty"),
    frequencyPenalty: number(flags, "frequency-penalty"),
    seed: number(flags, "seed"),
    late: typeof above === "number" ? { above } : above,
    guesses: number(flags, "guesses"),
    accept: flags.accept,
    stop: flags.stop === undefined ? undefined : String(flags.stop).split(NUL),
    logprobs: number(flags, "logprobs"),
  }) as GenerateOptions;
}

/** The prompt, conversation or ids of a command line: exactly one of three flags. */
export function promptFlags(flags: Flags): Pick<GenerateOptions, "prompt" | "messages" | "ids"> {
  const given = textOf(flags);
  if (!flags.chat) {
    if (flags.system === undefined) return given;
    throw new SpecacheError("argument", "Cannot generate: --system is given without --chat");
  }
  const { prompt } = given;
  if (prompt === undefined) {
    throw new SpecacheError("argument", "Cannot generate: --chat wants text, not --ids-file");
  }
  const system = flags.system === undefined
    ? []
    : [{ role: "system", content: String(flags.system) } as const];
  return { messages: [...system, { role: "user", content: prompt }] };
}

function textOf(flags: Flags): { prompt?: string; ids?: number[] } {
  const given = ["prompt", "prompt-file", "ids-file"].filter((name) => flags[name] !== undefined);
  if (given.length !== 1) {
    throw new SpecacheError(
      "argument",
      `Cannot generate: ${given.length} of --prompt, --prompt-file and --ids-file are given, not 1`,
    );
  }
  if (flags.prompt !== undefined) return { prompt: String(flags.prompt) };
  const path = String(flags[given[0]]);
  const content = readUserFile(path);
  return given[0] === "prompt-file" ? { prompt: content } : { ids: idsOf(path, content) };
}

function idsOf(path: string, content: string): number[] {
  try {
    const ids = JSON.parse(content);
    if (Array.isArray(ids)) return ids;
  } catch {
    // The sentence below says all there is to say.
  }
  throw new SpecacheError("argument", `Cannot generate: ${path} is not a JSON array of token ids`);
}

/** The text of a file that a flag names. */
export function readUserFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new SpecacheError("file", `Cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}
