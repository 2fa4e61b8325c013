// needed.ts - which files of a repository make a model: the weights as safetensors with what lies
// beside them, or one GGUF file, which holds all.
import { basename } from "node:path";
import { SpecacheError } from "../engine/errors.ts";
import { readJson } from "../engine/model/json.ts";
import type { HubFile } from "./hub.ts";

/** What to fetch. */
export interface Needed {
  /** The GGUF file; null: safetensors. */
  readonly gguf: string | null;
  /** In this order: what says early that a model cannot be opened comes first. */
  readonly files: readonly HubFile[];
  /** Whether an index among them names the weights. */
  readonly index: boolean;
}

/** The file that names the files of the weights. */
export const INDEX = "model.safetensors.index.json";
const WEIGHTS = "model.safetensors";
const CONFIG = "config.json";
const BESIDE = [
  "generation_config.json",
  "tokenizer_config.json",
  "tokenizer.json",
  "chat_template.jinja",
];
const SPLIT = /-\d{5}-of-\d{5}\.gguf$/;
const SHOWN_MAX = 20; // names in a sentence

/**
 * The files to fetch; those of an index come later.
 *
 * @throws {SpecacheError} argument: `gguf` is not there or must be chosen; unsupported: no model
 * that is opened here
 */
export function neededOf(files: ReadonlyMap<string, HubFile>, gguf?: string): Needed {
  const index = files.get(INDEX);
  const weights = index ?? files.get(WEIGHTS);
  const config = files.get(CONFIG);
  if (gguf === undefined && weights !== undefined && config !== undefined) {
    const beside = BESIDE.map((name) => files.get(name)).filter((file) => file !== undefined);
    const rest = index === undefined ? [...beside, weights] : [weights, ...beside];
    return { gguf: null, files: [config, ...rest], index: index !== undefined };
  }
  const file = ggufOf(files, gguf);
  return { gguf: file.name, files: [file], index: false };
}

/**
 * The files that an index names.
 *
 * @throws {SpecacheError} file: it is broken, or names what is not there
 */
export function shardsOf(index: string, files: ReadonlyMap<string, HubFile>): HubFile[] {
  const map = readJson(index).weight_map;
  const names = typeof map === "object" && map !== null ? Object.values(map) : [];
  if (names.length === 0) refuse("file", `${basename(index)} names no weights`);
  return [...new Set<unknown>(names)].map((name) => {
    const file = typeof name === "string" ? files.get(name) : undefined;
    return file ??
      refuse("file", `${basename(index)} names ${JSON.stringify(name)}, which is not there`);
  });
}

function ggufOf(files: ReadonlyMap<string, HubFile>, wanted?: string): HubFile {
  const all = [...files.values()].filter(({ name }) => name.endsWith(".gguf"));
  const whole = all.filter(({ name }) => !SPLIT.test(name) && !name.startsWith("mmproj"));
  const names = whole.slice(0, SHOWN_MAX).map(({ name }) => name).join(", ");
  if (wanted !== undefined) {
    const file = whole.find(({ name }) => name === wanted);
    return file ??
      refuse("argument", `--file ${wanted || '""'} is none of ${names || "its files"}`);
  }
  if (whole.length === 1) return whole[0];
  if (whole.length > 1) {
    refuse("argument", `it has ${whole.length} GGUF files; choose with --file: ${names}`);
  }
  const split = all.length > 0 ? "its GGUF files are parts of one" : "it has neither";
  return refuse("unsupported", `${split}, not ${CONFIG} with ${WEIGHTS}, nor a whole GGUF file`);
}

function refuse(code: "argument" | "file" | "unsupported", why: string): never {
  throw new SpecacheError(code, `Cannot pull: ${why}`);
}
