// profile.ts - `specache profile`: measures what is asked of a model once, and keeps it.
import { profileOptions } from "../engine/config.ts";
import { SpecacheError } from "../engine/errors.ts";
import { describeModel } from "../engine/model/describe.ts";
import { loadTokenizer } from "../engine/model/tokenizer.ts";
import { parse } from "../engine/parse.ts";
import { metadataOf, PROFILE_TOKENS, profileIds } from "../engine/profile_auto.ts";
import { type MeasuredProfile, measureProfile } from "../engine/profile_measure.ts";
import { modelHash, profilePath, writeProfileFile } from "../engine/profile_store.ts";
import { table } from "../eval/table.ts";
import { ensureLibrary } from "./library.ts";
import { checkWritable, type Flags, number, readFlags, readUserFile } from "./options.ts";
import { bytesText, progressBar, type Streams } from "./output.ts";

const ACTION = "measure a profile";
const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;

/** Flags of the command. */
export const profileFlags = {
  model: text,
  text,
  tokens: text,
  threads: text,
  output: text,
  json: flag,
  help: flag,
  verbose: flag,
} as const;

/** Help of the command. */
export const profileHelp = `specache profile - measure what codes need to know of a model, once

  --model PATH           folder of a Hugging Face model, GGUF file, or name of a pulled model
  --text FILE            measure on this text; default the shipped one, of many kinds
  --tokens N             of it, at most; default ${PROFILE_TOKENS}
  --output FILE          write it there; default the cache folder, where --profile auto finds it
  --threads N  --json  --verbose  --help

  specache profile --model models/needle
`;

/** Runs the command. */
export async function profile(
  args: readonly string[],
  { stdout, stderr }: Streams,
): Promise<void> {
  const flags = readFlags(ACTION, args, profileFlags);
  if (flags.help) {
    stdout.write(profileHelp);
    return;
  }
  const { model, tokens, threads = 0, output } = parse(profileOptions, {
    model: flags.model,
    text: flags.text,
    output: flags.output,
    tokens: number(flags, "tokens"),
    threads: number(flags, "threads"),
  }, ACTION);
  const description = describeModel(model);
  if (output !== undefined) checkWritable(flags, "output", true);
  const ids = idsOf(model, flags).slice(0, tokens ?? PROFILE_TOKENS);
  await ensureLibrary(stderr);
  const progress = progressBar("profile", stderr);
  const measured = measureProfile({ description, ids, threads, progress })!;
  const path = output ?? profilePath(modelHash(description));
  writeProfileFile(path, measured, description, metadataOf(measured));
  const { layers, kvHeads } = description;
  if (flags.json) {
    stdout.write(json(path, measured));
    return;
  }
  stdout.write(heads(measured, layers, kvHeads) + "\n");
  const bytes = measured.valueBasis!.byteLength + 2 * measured.planeChannel!.byteLength;
  stderr.write(`${measured.tokens} tokens read; ${path}, ${bytesText(bytes)}\n`);
}

function idsOf(model: string, flags: Flags): number[] {
  const description = describeModel(model);
  const ids = flags.text === undefined
    ? profileIds(model, description)
    : loadTokenizer(model, description)?.encode(readUserFile(flags, "text")) ?? null;
  const room = description.tokensMax;
  if (ids !== null && ids.length >= 128) return ids.slice(0, room); // two pages
  const why = ids === null
    ? `model ${model} has no tokenizer`
    : `the text has ${ids.length} tokens, below 128; name a longer one by --text`;
  throw new SpecacheError("argument", `Cannot ${ACTION}: ${why}`, { details: { model } });
}

// Lists are [layers, kvHeads], row by row.
function json(path: string, { keyBits, keyStray, explained, tokens }: MeasuredProfile): string {
  const lists = {
    keyBits: Array.from(keyBits!),
    keyStray: Array.from(keyStray),
    explained: Array.from(explained),
  };
  return JSON.stringify({ path, tokens, ...lists }) + "\n";
}

function heads({ keyBits, keyStray, explained }: MeasuredProfile, layers: number, kvHeads: number) {
  const rows = [["layer", "KV head", "key bits (compact)", "key stray", "value variance coded"]];
  for (let at = 0; at < layers * kvHeads; at++) {
    const place = [Math.floor(at / kvHeads), at % kvHeads].map(String);
    const share = `${(100 * explained[at]).toFixed(0)} %`;
    rows.push([...place, `${keyBits![at]}`, keyStray[at].toFixed(2), share]);
  }
  return table(rows);
}
