// options.ts - the command line's flags as options. Values stay what the user wrote until zod has
// judged them: a number that is none becomes NaN, and the error names it.
import { parseArgs } from "node:util";
import { readFileSync } from "node:fs";
import type { CacheOptions, EngineOptions, GenerateOptions } from "../engine/config.ts";
import { SpecacheError } from "../engine/errors.ts";

/** Flags with a value. */
export type Flags = Readonly<Record<string, string | boolean | undefined>>;

const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;

/** Flags of the cache, common to all commands. */
export const cacheFlags = {
  mode: text,
  k: text,
  "key-bits": text,
  "value-bits": text,
  profile: text,
  group: text,
  slots: text,
  "kv-type": text,
  far: text,
  "far-bytes": text,
  near: text,
  threads: text,
  device: text,
  json: flag,
  help: flag,
  verbose: flag,
} as const;

/** Reads flags; an unknown one, or a positional, is refused. */
export function readFlags(
  command: string,
  args: readonly string[],
  options: Readonly<Record<string, { readonly type: "string" | "boolean" }>>,
): Flags {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: false, strict: true })
      .values as Flags;
  } catch (cause) {
    const reason = (cause as Error).message.split(". ")[0];
    throw new SpecacheError("argument", `Cannot ${command}: ${reason}`, { cause });
  }
}

/** A number as written; NaN where it is none. */
export function number(flags: Flags, name: string): number | undefined {
  const value = flags[name];
  if (value === undefined) return undefined;
  return String(value).trim() === "" ? NaN : Number(value);
}

function defined<T extends object>(options: T): T {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as T;
}

/** The cache's options; zod judges them later, so their types are only claimed here. */
export function cacheOptions(flags: Flags): CacheOptions {
  const { far } = flags;
  return defined({
    mode: flags.mode,
    k: number(flags, "k"),
    keyBits: number(flags, "key-bits"),
    valueBits: number(flags, "value-bits"),
    profile: flags.profile,
    group: number(flags, "group"),
    slots: number(flags, "slots"),
    kvType: flags["kv-type"],
    far: far === undefined || far === "ram"
      ? far
      : defined({ file: far, bytes: number(flags, "far-bytes") }),
    nearBytes: number(flags, "near"),
    threads: number(flags, "threads"),
    device: flags.device,
  }) as CacheOptions;
}

/** The options of an engine. */
export function engineOptionsOf(flags: Flags, contextTokens: number | undefined): EngineOptions {
  if (flags.model === undefined) {
    throw new SpecacheError("argument", "Cannot generate: --model is missing");
  }
  const guesses = number(flags, "guesses");
  return defined({
    ...cacheOptions(flags),
    model: String(flags.model),
    contextTokens: number(flags, "context") ?? contextTokens,
    guessesMax: guesses !== undefined && guesses > 1 ? guesses : undefined,
  }) as EngineOptions;
}

/** The options of a generation, without its prompt. */
export function generateOptionsOf(flags: Flags): GenerateOptions {
  const { late, guesses } = flags;
  const threshold = late === undefined || late === "all" || late === "none"
    ? late
    : { above: number(flags, "late") };
  return defined({
    maxTokens: number(flags, "max-tokens"),
    temperature: number(flags, "temperature"),
    seed: number(flags, "seed"),
    late: threshold,
    guesses: guesses === "auto" ? guesses : number(flags, "guesses"),
    logprobs: number(flags, "logprobs"),
  }) as GenerateOptions;
}

/** The prompt, or ids, of a command line: exactly one of three flags. */
export function promptOf(flags: Flags): { prompt: string } | { ids: number[] } {
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
    if (Array.isArray(ids) && ids.every((id) => Number.isInteger(id) && id >= 0)) return ids;
  } catch {
    // The sentence below says all there is to say.
  }
  throw new SpecacheError("argument", `Cannot generate: ${path} is not a JSON array of token ids`);
}

function readUserFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new SpecacheError("file", `Cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}
