// pip.ts - wheels of the Python index in a folder of the cache: whole, or not there at all.
import { execFile } from "node:child_process";
import { access, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { SpecacheError } from "../engine/errors.ts";
import { refusedAs } from "../engine/system.ts";
import { cacheHome } from "./home.ts";

const run = promisify(execFile);

/** What is fetched. */
export interface Wheels {
  /** As a sentence names it, e.g. "nvcc". */
  readonly what: string;
  /** Names with exact versions. */
  readonly wheels: readonly string[];
  /** Folder in the cache folder. */
  readonly folder: string;
  /** A file in it that proves that the folder is whole. */
  readonly proof: string;
  /** Adds to the folder before it is put in its place. */
  finish?(folder: string): Promise<void>;
}

/**
 * Installs wheels with pip. Two processes may do so at once.
 *
 * @throws {SpecacheError} file: pip is missing or fetches nothing
 */
export async function fetchWheels(asked: Wheels): Promise<void> {
  const cache = cacheHome();
  const temporary = await temporaryIn(cache, asked);
  try {
    await install(temporary, asked);
    await asked.finish?.(temporary);
    await putInPlace(temporary, join(cache, asked.folder), asked);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

// Beside its place, so that the last step is a rename: an interrupted fetch leaves no half tree.
async function temporaryIn(cache: string, { what }: Wheels): Promise<string> {
  try {
    await mkdir(cache, { recursive: true });
    return await mkdtemp(join(cache, "fetch-"));
  } catch (cause) {
    const why = `cache folder ${cache} ${refusedAs(cause, "written")}`;
    throw new SpecacheError("file", `Cannot fetch ${what}: ${why}; SPECACHE_HOME names another`, {
      cause,
    });
  }
}

async function install(folder: string, { what, wheels }: Wheels): Promise<void> {
  const args = ["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"];
  args.push("--only-binary", ":all:", "--target", folder, ...wheels);
  try {
    await run("python3", args);
  } catch (cause) {
    const { code, stderr } = cause as { code?: string | number; stderr?: string };
    const missing = code === "ENOENT" || stderr?.includes("No module named pip");
    const why = missing
      ? "python3 -m pip does not answer; install Python 3 and pip"
      : `pip failed (${stderr?.trim().split("\n").at(-1)})`;
    throw new SpecacheError("file", `Cannot fetch ${what}: ${why}`, { cause });
  }
}

/** Another process may have been faster: its tree is as good. */
async function putInPlace(temporary: string, folder: string, asked: Wheels): Promise<void> {
  try {
    await rename(temporary, folder);
  } catch (cause) {
    if (await exists(join(folder, asked.proof))) return;
    throw new SpecacheError("file", `Cannot fetch ${asked.what}: ${folder} cannot be made`, {
      cause,
    });
  }
}

/** Whether there is such a file or folder. */
export async function exists(path: string): Promise<boolean> {
  return await access(path).then(() => true, () => false);
}
