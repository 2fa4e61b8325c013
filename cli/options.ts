// options.ts - the command line's flags as options. Values stay what the user wrote until zod has
// judged them, so their types are only claimed here.
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { CacheOptions, EngineOptions } from "../engine/config.ts";
import { type GenerateOptions, STOPS_MAX } from "../engine/config_generate.ts";
import { SpecacheError } from "../engine/errors.ts";
import { refusedAs } from "../engine/system.ts";
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
  activations: text,
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
 * Reads --name VALUE, --name=VALUE and --name; what is not known, or given twice, is refused.
 * --model becomes a path where it is the name of a pulled model; modelAsked keeps that name.
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
      refuse(`${args[at] || '""'} is not a flag; --help lists them`);
    if (!Object.hasOwn(options, name)) {
      refuse(`flag --${name} is not known; --help lists them`);
    }
    if (options[name].type === "boolean") {
      if (inline !== undefined) refuse(`--${name} takes no value, not ${inline || '""'}`);
      flags[name] = true;
      continue;
    }
    const value = inline ?? args[++at];
    const missing = value === undefined || inline === undefined && value.startsWith("--");
    if (missing) {
      const how = value === undefined ? "" : "; one that begins with -- goes behind an =";
      refuse(`--${name} is given no value${how}`);
    }
    const again = flags[name] !== undefined;
    if (again && !options[name].multiple) {
      refuse(`--${name} is given twice, ${flags[name] || '""'} and ${value || '""'}`);
    }
    flags[name] = again ? `${flags[name]}${NUL}${value}` : value;
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
  if (far === "") {
    throw new SpecacheError("argument", 'Cannot open: --far "" is neither ram nor FILE');
  }
  if (far !== undefined && far !== "ram") {
    return defined({ file: far, bytes: number(flags, "far-bytes") });
  }
  if (bytes === undefined) return far;
  throw new SpecacheError(
    "argument",
    `Cannot reserve --far-bytes ${bytes}: --far names no file, and budgets are of one`,
  );
}

/** The options of an engine. */
export function engineOptionsOf(flags: Flags): EngineOptions {
  return defined({
    ...cacheOptions(flags),
    model: flags.model,
    prefill: flags.prefill,
    activations: flags.activations,
    contextTokens: number(flags, "context"),
    sequences: number(flags, "sequences"),
    poolTokens: number(flags, "pool"),
    prefixes: number(flags, "prefixes"),
    reuse: flags.reuse,
    queue: number(flags, "queue"),
    chatTemplate: templateOf(flags),
  }) as EngineOptions;
}

function templateOf(flags: Flags): string | undefined {
  if (flags["chat-template"] === undefined) return undefined;
  const text = readUserFile(flags, "chat-template");
  if (text !== "") return text;
  const sentence = `--chat-template ${flags["chat-template"]} is empty`;
  throw new SpecacheError("argument", `Cannot write a conversation: ${sentence}`);
}

/** The options of a generation, without its prompt. */
export function generateOptionsOf(flags: Flags): GenerateOptions {
  const above = number(flags, "late");
  const stop = flags.stop === undefined ? undefined : String(flags.stop).split(NUL);
  if (stop !== undefined && stop.length > STOPS_MAX) {
    const times = `--stop is given ${stop.length} times, above ${STOPS_MAX}`;
    throw new SpecacheError("argument", `Cannot generate: ${times}`);
  }
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
    stop,
    logprobs: number(flags, "logprobs"),
  }) as GenerateOptions;
}

/** The prompt, conversation or ids of a command line: exactly one of three flags. */
export function promptFlags(flags: Flags): Pick<GenerateOptions, "prompt" | "messages" | "ids"> {
  const given = textOf(flags);
  if (!flags.chat) {
    const alone = ["system", "chat-template"].find((name) => flags[name] !== undefined);
    if (alone === undefined) return given;
    throw new SpecacheError("argument", `Cannot generate: --${alone} is given without --chat`);
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
  const content = readUserFile(flags, given[0]);
  return given[0] === "prompt-file"
    ? { prompt: content }
    : { ids: idsOf(String(flags[given[0]]), content) };
}

function idsOf(path: string, content: string): number[] {
  try {
    const ids = JSON.parse(content);
    if (Array.isArray(ids)) return ids;
  } catch {
    // The sentence below says all there is to say.
  }
  throw new SpecacheError(
    "argument",
    `Cannot generate: --ids-file ${path} is not a JSON array of token ids, such as [1, 2]`,
  );
}

/**
 * The text of the file that a flag names.
 *
 * @throws {SpecacheError} file: it cannot be read
 */
export function readUserFile(flags: Flags, name: string): string {
  const path = String(flags[name]);
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    if (path === "") throw emptyPath("read", name);
    const sentence = `Cannot read --${name} ${path}: it ${refusedAs(cause, "read")}`;
    throw new SpecacheError("file", sentence, { cause, details: { path } });
  }
}

/**
 * Refuses a file that a flag names where it cannot be written, before there is anything to write.
 * Folders are not made: one that does not exist is a path that was mistyped. A `fresh` file is one
 * that is written whole: what holds something already is somebody's, and stays.
 *
 * @throws {SpecacheError} file
 */
export function checkWritable(flags: Flags, name: string, fresh = false): void {
  const path = String(flags[name]);
  if (path === "") throw emptyPath("write", name);
  try {
    const status = statSync(path, { throwIfNoEntry: false });
    if (status?.isDirectory()) throw Object.assign(new Error(), { code: "EISDIR" });
    if (fresh && status?.isFile() && status.size > 0) {
      throw Object.assign(new Error(), { code: "EEXIST" });
    }
    accessSync(status === undefined ? dirname(path) : path, constants.W_OK);
  } catch (cause) {
    throw unwritable(name, path, cause);
  }
}

function emptyPath(does: string, name: string): SpecacheError {
  return new SpecacheError(
    "argument",
    `Cannot ${does} --${name} "": it is empty, and wants a path`,
  );
}

/** The error of a file that a flag names and that cannot be written. */
export function unwritable(name: string, path: string, cause: unknown): SpecacheError {
  const sentence = `Cannot write --${name} ${path}: it ${refusedAs(cause, "written")}`;
  return new SpecacheError("file", sentence, { cause, details: { path } });
}
