// asked.ts - the command line of bench:peers.
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { SpecacheError } from "../../../engine/errors.ts";
import { type SettingName, settings } from "./attention.ts";
import { type Build, builds } from "./llama.ts";

/** What --help prints. */
export const HELP = `deno task bench:peers [attention] [scan] [chat] [shape]   default: all
  --threads N      of both sides; default the machine's cores
  --rounds N       turns of each side; default 9
  --turn-ms N      a turn's length; default 300
  --cycle-mib N    bytes that each side walks over; default 512
  --lengths LIST   of attention and shape, in K tokens; default 2,8,32,128
  --prompt N       tokens of chat, of which the model has 8192; default 7500
  --settings LIST  of ours: default, compact, none (no profile); default: default
  --llama WHICH    of attention: prebuilt, node-llama-cpp's libraries, the default, or built, by
                   llama-cpp-python for this machine: a third faster, minutes to build
  --json           one object instead of tables
  --svg FILE       a plot of attention's time against length`;

const flags = {
  threads: { type: "string", default: `${availableParallelism()}` },
  rounds: { type: "string", default: "9" },
  "turn-ms": { type: "string", default: "300" },
  "cycle-mib": { type: "string", default: "512" },
  prompt: { type: "string", default: "7500" },
  lengths: { type: "string", default: "2,8,32,128" },
  settings: { type: "string", default: "default" },
  json: { type: "boolean", default: false },
  llama: { type: "string", default: "prebuilt" },
  svg: { type: "string" },
  help: { type: "boolean", default: false },
} as const;

/** What is asked for. */
export interface Asked {
  readonly parts: readonly Part[];
  readonly threads: number;
  readonly rounds: number;
  readonly turnMs: number;
  readonly cycleBytes: number;
  readonly prompt: number;
  readonly lengths: readonly number[];
  readonly settings: readonly SettingName[];
  readonly build: Build;
  readonly json: boolean;
  readonly svg: string | undefined;
  readonly help: boolean;
}

const parts = ["attention", "scan", "chat", "shape"] as const;
/** A comparison. */
export type Part = typeof parts[number];

/**
 * What the command line asks for.
 *
 * @throws {SpecacheError} argument
 */
export function askedOf(args: readonly string[]): Asked {
  const { values, positionals } = attempt(() =>
    parseArgs({ args: [...args], options: flags, allowPositionals: true })
  );
  const number = (name: "threads" | "rounds" | "turn-ms" | "cycle-mib" | "prompt") =>
    positive(`--${name}`, values[name]);
  return {
    parts: positionals.length === 0 ? parts : each("part", positionals, parts),
    threads: number("threads"),
    rounds: number("rounds"),
    turnMs: number("turn-ms"),
    cycleBytes: number("cycle-mib") * 2 ** 20,
    prompt: number("prompt"),
    lengths: values.lengths.split(",").map((text) => 1024 * positive("--lengths", text)),
    settings: each(
      "--settings",
      values.settings.split(","),
      Object.keys(settings),
    ) as SettingName[],
    build: each("--llama", [values.llama], builds)[0],
    ...{ json: values.json, svg: values.svg, help: values.help },
  };
}

function attempt<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (cause) {
    return refuse((cause as Error).message, cause);
  }
}

function positive(name: string, text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  return refuse(`${name} ${text} is not a whole number from 1 on`);
}

function each<Name extends string>(what: string, names: string[], known: readonly Name[]): Name[] {
  return names.map((name) =>
    known.find((it) => it === name) ?? refuse(`${what} ${name} is none of ${known.join(", ")}`)
  );
}

function refuse(why: string, cause?: unknown): never {
  throw new SpecacheError("argument", `Cannot compare speed: ${why}`, { cause });
}
