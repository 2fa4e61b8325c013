// run.ts - runs fidelity.py, or check.py, in a virtual environment of its own in the cache folder.
//   deno task peers:fidelity DOCUMENTS.jsonl OUT.json [--model M] [--budgets .094,.25] ...
//   deno task peers:fidelity --check
// fidelity.py says what is compared and how; --help lists its flags. The first run installs torch,
// transformers and kvpress: some minutes, 7.4 GB. A torch for CPUs alone is smaller: where pip is
// told its index (PIP_EXTRA_INDEX_URL), it takes that one. Needs python3 from 3.10 on, with venv.

import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { SpecacheError } from "../../../engine/errors.ts";
import { smollm2 } from "../../../tools/smollm2.ts";
import { pythonEnvironment, run } from "../environment.ts";

const folder = fileURLToPath(new URL(".", import.meta.url));
const golden = fileURLToPath(new URL("../../../tests/golden/smollm2.json", import.meta.url));

/** The script that `args` ask for, and whether they name a model. */
export function scriptOf(args: readonly string[]): { script: string; named: boolean } {
  if (args[0] === "--check") return { script: "check.py", named: false };
  const help = args.includes("--help") || args.includes("-h");
  const files = args.slice(0, 2).filter((arg) => !arg.startsWith("-"));
  if (help || files.length === 2) {
    return { script: "fidelity.py", named: args.some((arg) => /^--model(=|$)/.test(arg)) };
  }
  throw new SpecacheError(
    "argument",
    `Cannot compare rivals: ${files.length} files are given, documents and output are needed`,
    { details: { files } },
  );
}

// No script asks a hub for anything; bars would fill a log with lines.
const QUIET = {
  HF_HUB_DISABLE_PROGRESS_BARS: "1",
  HF_HUB_OFFLINE: "1",
  TQDM_DISABLE: "1",
  TRANSFORMERS_VERBOSITY: "error",
};

async function main(args: readonly string[]): Promise<void> {
  const { script, named } = scriptOf(args);
  const python = await pythonEnvironment("peers-fidelity", folder);
  const path = join(folder, script);
  const model = named ? [] : ["--model", await smollm2()];
  const rest = script === "check.py" ? ["--golden", golden] : args;
  await run(python, [path, ...model, ...rest], QUIET);
}

if (import.meta.main) {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof SpecacheError)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
}
