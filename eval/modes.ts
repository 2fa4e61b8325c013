// modes.ts - what an evaluation compares: modes by name, with options in brackets:
//   full   paper   specache   compact   specache[k=64,keyBits=1]   paper[rule=rotated,guesses=0]
import { type CacheOptions, engineOptions, type Mode } from "../engine/config.ts";
import { type GenerateOptions, generateOptions } from "../engine/config_generate.ts";
import { SpecacheError } from "../engine/errors.ts";
import { parse } from "../engine/parse.ts";

/** One mode, and what it is opened and run with. */
export interface EvalMode {
  /** As it was asked for. */
  readonly name: string;
  readonly cache: CacheOptions & { readonly mode: Mode };
  readonly request: Pick<GenerateOptions, "late" | "guesses" | "accept">;
}

const named: Readonly<Record<string, CacheOptions & { readonly mode: Mode }>> = {
  full: { mode: "full" },
  paper: { mode: "paper" },
  specache: { mode: "specache" },
  compact: { mode: "specache", setting: "compact" },
};
const ofRequest = ["late", "guesses", "accept"];
const ACTION = "evaluate a mode";

/**
 * Reads a list such as "full,paper,specache[k=64,slots=0]".
 *
 * @throws {SpecacheError} argument
 */
export function readModes(list: string): EvalMode[] {
  const names = list.match(/[^,[\]]+(\[[^[\]]*\])?/g) ?? [];
  if (names.join(",") !== list || names.length === 0) {
    throw new SpecacheError("argument", `Cannot ${ACTION}: ${list || '""'} is not a list of modes`);
  }
  return names.map(readMode);
}

function readMode(name: string): EvalMode {
  const [, base, options = ""] = name.match(/^([^[]+)(?:\[(.*)\])?$/)!;
  const known = Object.hasOwn(named, base) ? named[base] : undefined;
  if (known === undefined) {
    const all = Object.keys(named).join(", ");
    throw new SpecacheError("argument", `Cannot ${ACTION}: ${base} is none of ${all}`);
  }
  const pairs = options === "" ? [] : options.split(",").map(pair);
  const fields = (request: boolean) =>
    Object.fromEntries(pairs.filter(([option]) => ofRequest.includes(option) === request));
  // The schemas of engine and request judge the options; a model is named for their sake.
  const { model: _, ...cache } = parse(
    engineOptions,
    { ...{ model: "any", ...known }, ...fields(false) },
    ACTION,
  );
  const request = parse(generateOptions, fields(true), ACTION);
  return { name, cache: { ...cache, mode: known.mode }, request };
}

function pair(text: string): [string, unknown] {
  const [, option, value] = text.match(/^(\w+)=(.+)$/) ?? [];
  if (option === undefined) {
    throw new SpecacheError("argument", `Cannot ${ACTION}: ${text || '""'} is not option=value`);
  }
  const amount = Number(value);
  if (option === "late" && !Number.isNaN(amount)) return [option, { above: amount }];
  return [option, Number.isNaN(amount) ? value : amount];
}
