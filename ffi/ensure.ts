// ensure.ts - builds the library on first use: from the folder of sources where the package lies in
// files, else from the sources that travel as text. One process builds, others wait for it. Device
// cuda takes minutes, so it is built when it is asked for, beside the objects that are there.
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { build } from "./build.ts";
import { findCompiler } from "./compiler.ts";
import { buildFolder, findLibrary, hasDevice } from "./library.ts";
import { lockFolder } from "./lock.ts";
import { findCuda } from "./toolchain.ts";

/** Who is told of a build. */
export interface BuildListener {
  /** Told what happens, one sentence each. */
  notice?(sentence: string): void;
  /** Told of each file that was compiled, as "3/60 step.cpp". */
  progress?(file: string): void;
}

/** What a library is needed for. */
export interface LibraryOptions extends BuildListener {
  /**
   * The device that will be asked for. Default `cpu`, which every library has; `cuda` builds device
   * cuda too, some minutes once, where nvcc is found.
   */
  readonly device?: "cpu" | "cuda";
}

type Device = NonNullable<LibraryOptions["device"]>;

const building = new Map<Device, Promise<void>>();
let toldNoCuda = false; // once a process: each engine of it would say the same

/**
 * Builds the native library where none is built yet: a C++ compiler is needed, and half a minute to
 * some minutes, once. `Engine.open` does it by itself; before `KvStore.open`, which cannot wait, it
 * must have been done. Says on standard error that it builds, unless there is a `notice`.
 *
 * @throws {SpecacheError} unsupported: no compiler, or not Linux on x86-64 or arm64; device: the
 * build failed; file: the cache folder cannot be written
 */
export async function ensureLibrary(options: LibraryOptions = {}): Promise<void> {
  const { device = "cpu", notice = toStandardError, progress } = options;
  if (isBuilt(device)) return;
  if (!building.has(device)) {
    const built = buildLibrary({ device, notice, progress, again: false });
    building.set(device, built.finally(() => building.delete(device)));
  }
  await building.get(device);
}

function toStandardError(sentence: string): void {
  process.stderr.write(`${sentence}\n`);
}

/** What to build, and where. */
export interface LibraryBuild extends LibraryOptions {
  /** Folder of the C++ sources; default the package's own. */
  readonly native?: string;
  /** Folder of objects and results; default build/ of a checkout, else in the cache folder. */
  readonly output?: string;
  /** Whether a library that is there is brought up to date; default true. */
  readonly again?: boolean;
}

/** Builds the library; quick where nothing changed. Without nvcc none gets device cuda. */
export async function buildLibrary(options: LibraryBuild): Promise<void> {
  const { output = buildFolder(), notice = () => {}, progress, again = true } = options;
  const { device = "cpu" } = options;
  using _lock = await lockFolder(output, "build libspecache", () => {
    notice("Waiting for a build of the native library that is under way");
  });
  if (!again && isBuilt(device)) return; // the one that was waited for has done it
  const native = options.native ?? await sourceFolder(output);
  const cuda = device === "cuda" ? await findCuda(native) : undefined;
  if (device === "cuda" && cuda === undefined) {
    const why = process.arch === "x64"
      ? 'no nvcc was found ("specache toolchain nvcc" fetches one)'
      : `it is for x86-64, and this machine is ${process.arch}`;
    if (!toldNoCuda) notice(`No device cuda is built: ${why}`);
    toldNoCuda = true;
    if (!again && isBuilt("cpu")) return;
  }
  const fetched = (await findCompiler())?.fetched;
  const duration = cuda !== undefined
    ? "with device cuda, some minutes"
    : fetched
    ? "with the fetched compiler, some minutes"
    : "one to three minutes";
  const begin = () => notice(`Building the native library (once; ${duration}) in ${output}`);
  await build({ native, output, cuda, begin, progress });
}

/** Whether there is a library to load, which has `device`. */
export function isBuilt(device: Device = "cpu"): boolean {
  try {
    return hasDevice(findLibrary(), device);
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
