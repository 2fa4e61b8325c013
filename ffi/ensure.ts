// ensure.ts - builds the library on first use: from the folder of sources where the package lies in
// files, else from the sources that travel as text. One process builds, others wait for it.
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { SpecacheError } from "../engine/errors.ts";
import { build } from "./build.ts";
import { findCompiler } from "./compiler.ts";
import { buildFolder, findLibrary } from "./library.ts";
import { lockFolder } from "./lock.ts";
import { findCuda } from "./toolchain.ts";

/** Who is told of a build. */
export interface BuildListener {
  /** Told what happens, one sentence each. */
  notice?(sentence: string): void;
  /** Told of each file that was compiled, as "3/60 step.cpp". */
  progress?(file: string): void;
}

let building: Promise<void> | null = null;

/**
 * Builds the native library where none is built yet: a C++ compiler is needed, and half a minute to
 * some minutes, once. `Engine.open` does it by itself; before `KvStore.open`, which cannot wait, it
 * must have been done.
 *
 * @throws {SpecacheError} unsupported: no compiler, or not Linux x86-64; device: the build failed;
 * file: the cache folder cannot be written
 */
export async function ensureLibrary(listener: BuildListener = {}): Promise<void> {
  if (isBuilt()) return;
  building ??= buildLibrary({ ...listener, again: false }).finally(() => building = null);
  await building;
}

/** What to build, and where. */
export interface LibraryBuild extends BuildListener {
  /** Folder of the C++ sources; default the package's own. */
  readonly native?: string;
  /** Folder of objects and results; default build/ of a checkout, else in the cache folder. */
  readonly output?: string;
  /** Whether a library that is there is brought up to date; default true. */
  readonly again?: boolean;
}

/** Builds the library, with device cuda where nvcc is found; quick where nothing changed. */
export async function buildLibrary(options: LibraryBuild): Promise<void> {
  const { output = buildFolder(), notice = () => {}, progress, again = true } = options;
  using _lock = await lockFolder(output, "build libspecache", () => {
    notice("Waiting for another process, which builds the native library");
  });
  if (!again && isBuilt()) return; // the one that was waited for has done it
  const native = options.native ?? await sourceFolder(output);
  const cuda = await findCuda(native);
  const fetched = (await findCompiler())?.fetched;
  const minutes = cuda !== undefined
    ? "with CUDA, some minutes"
    : fetched
    ? "with the fetched compiler, some minutes"
    : "half a minute to a minute";
  notice(`Building the native library (once; ${minutes})`);
  try {
    await build({ native, output, cuda, progress });
  } catch (error) {
    // Nobody asked for CUDA: an nvcc that fails leaves the CPU.
    if (cuda === undefined || !(error instanceof SpecacheError)) throw error;
    notice(error.message.split("\n")[0]);
    notice("Building without device cuda");
    await build({ native, output, progress });
  }
}

/** Whether there is a library to load. */
export function isBuilt(): boolean {
  try {
    findLibrary();
    return true;
  } catch {
    return false; // it says to build, which is what comes next
  }
}

// The sources beside this file, or, where it was imported from a URL, written below `output`.
async function sourceFolder(output: string): Promise<string> {
  const beside = new URL("../native", import.meta.url);
  if (beside.protocol === "file:" && existsSync(beside)) return fileURLToPath(beside);
  // By a dynamic import alone: JSR's registry refuses text imports that it reaches by static ones,
  // and nobody needs the texts once the library is built.
  const { sources } = await import("./sources.ts");
  const folder = join(output, "sources");
  rmSync(folder, { recursive: true, force: true });
  for (const [name, text] of Object.entries(sources)) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  return join(folder, "native");
}
