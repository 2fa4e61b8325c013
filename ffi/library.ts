// library.ts - finds libspecache, loads it in either runtime, and turns statuses into errors.
import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type ErrorCode, SpecacheError } from "../engine/errors.ts";
import { loadBun } from "./bun.ts";
import { abiVersion, statuses } from "./constants.ts";
import { loadDeno } from "./deno.ts";
import { cacheHome } from "./home.ts";
import { type FunctionsOf, symbols } from "./symbols.ts";
import { version } from "./version.ts";

/** The loaded library. */
export interface Library extends Disposable {
  /** Its file. */
  readonly path: string;
  /** Its functions; u64 are bigints, buffers typed arrays or null. */
  readonly symbols: FunctionsOf<typeof symbols>;
  /**
   * Throws unless the status is that of success.
   *
   * @throws {SpecacheError} the status's code: "Cannot <action>: <the library's sentence>"
   */
  check(action: string, status: number): void;
  /** Unloads it. */
  close(): void;
}

/** What a library with device cuda is called: a build appends its hash to the stem. */
export const cudaLibrary = "libspecache-cuda.so";

const codes = new Map<number, ErrorCode>(
  Object.entries(statuses).flatMap(([code, status]) =>
    code === "ok" ? [] : [[status, code as ErrorCode] as const]
  ),
);

/**
 * Folder of the C++ sources, beside this one in a checkout.
 *
 * @throws {SpecacheError} unsupported: the package was not loaded from files
 */
export function nativeFolder(): string {
  const url = new URL("../native", import.meta.url);
  if (url.protocol === "file:") return fileURLToPath(url);
  throw new SpecacheError(
    "unsupported",
    `Cannot build libspecache: its sources are at ${url}, not in a folder; build it in a ` +
      "checkout and name the file in SPECACHE_LIBRARY",
    { details: { url: url.href } },
  );
}

/** Folder that builds go to: build/ of a checkout, else one of this version in the cache folder. */
export function buildFolder(): string {
  const checkout = new URL("../", import.meta.url);
  const local = checkout.protocol === "file:" ? fileURLToPath(checkout) : null;
  if (local !== null && existsSync(join(local, ".git"))) return join(local, "build");
  return join(cacheHome(), "build", version);
}

/**
 * The library to load: SPECACHE_LIBRARY, else the newest that was built.
 *
 * @throws {SpecacheError} device: none was built
 */
export function findLibrary(): string {
  const named = process.env.SPECACHE_LIBRARY;
  if (named) return named;
  const folder = join(buildFolder(), "release");
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const built = names.filter((name) => name.startsWith("libspecache-") && name.endsWith(".so"))
    .map((name) => join(folder, name))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  if (built.length > 0) return built[0];
  throw new SpecacheError(
    "device",
    `Cannot load libspecache: ${folder} has none; build it first: await ensureLibrary()`,
    { details: { folder } },
  );
}

/** Whether the library at `path` has `device`; of SPECACHE_LIBRARY nothing is known, so it has. */
export function hasDevice(path: string, device: "cpu" | "cuda"): boolean {
  if (device === "cpu" || path === process.env.SPECACHE_LIBRARY) return true;
  return basename(path).startsWith(basename(cudaLibrary, ".so"));
}

/** The library for `device`: the one that this thread uses, or the newest where that has it not. */
export function libraryFor(device: "cpu" | "cuda"): string {
  if (process.env.SPECACHE_LIBRARY || shared === null) return findLibrary();
  return hasDevice(shared.path, device) ? shared.path : findLibrary();
}

let shared: { readonly path: string; readonly library: Library } | null = null;

/**
 * The library that all stores of this thread use: loaded once and kept, since a runtime does not
 * give back all that loading takes.
 *
 * @throws {SpecacheError} device: none was built, it cannot be loaded, or its ABI is another
 */
export function sharedLibrary(path: string = libraryFor("cpu")): Library {
  if (shared === null || shared.path !== path) shared = { path, library: openLibrary(path) };
  return shared.library;
}

/** Closes the library that sharedLibrary() gave on this thread: nothing may call it any more. */
export function closeLibrary(): void {
  shared?.library.close();
  shared = null;
}

/**
 * Loads the library.
 *
 * @throws {SpecacheError} device: it cannot be loaded or was built for another ABI
 */
export function openLibrary(path: string = findLibrary()): Library {
  const loaded = load(path);
  const { functions } = loaded;
  const built = functions.specache_abi_version();
  if (built !== abiVersion) {
    loaded.close();
    throw new SpecacheError(
      "device",
      `Cannot load libspecache: ABI version ${built} of ${path} is not ${abiVersion}; build it ` +
        "again: npx -y deno@2 task build",
      { details: { path, version: built, abiVersion } },
    );
  }
  const check = (action: string, status: number) => {
    if (status === statuses.ok) return;
    const text = new Uint8Array(512);
    const length = functions.specache_error(text, text.length);
    const reason = new TextDecoder().decode(text.subarray(0, Math.min(length, text.length)));
    const sentence = `Cannot ${action}: ${inOptions(reason)}`;
    throw new SpecacheError(codes.get(status) ?? "device", sentence);
  };
  let open = true;
  const close = () => {
    if (open) loaded.close();
    open = false;
  };
  return { path, symbols: functions, check, close, [Symbol.dispose]: close };
}

function whyOf(path: string, cause: unknown): string {
  if (existsSync(path)) return `does not load (${(cause as Error).message})`;
  return process.env.SPECACHE_LIBRARY === path
    ? "does not exist; SPECACHE_LIBRARY names it"
    : "does not exist";
}

// Fields of the library's structs, and the options that they come from.
const options: Readonly<Record<string, string>> = {
  tokens_max: "contextTokens",
  sequences_max: "sequences",
  near_bytes: "nearBytes",
  far_bytes: "far.bytes",
  guesses_max: "guessesMax",
  kv_heads: "kvHeads",
  query_heads: "queryHeads",
  head_dim: "headDim",
  k_max: "kMax",
};

function inOptions(reason: string): string {
  return reason.replaceAll(/(?<=^| )[a-z]+_[a-z]+(?= |,|$)/g, (word) => options[word] ?? word);
}

function load(path: string) {
  try {
    return "Deno" in globalThis ? loadDeno(path, symbols) : loadBun(path, symbols);
  } catch (cause) {
    throw new SpecacheError(
      "device",
      `Cannot load libspecache: ${path} ${whyOf(path, cause)}`,
      { cause, details: { path } },
    );
  }
}
