// llama.ts - llama.cpp as node-llama-cpp ships it: prebuilt, one library for each kind of CPU, of
// which it loads the best. No GPU.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { SpecacheError } from "../../../engine/errors.ts";
import { nodeEnvironment, pythonEnvironment } from "../environment.ts";

/** Whose libraries: prebuilt ones of node-llama-cpp, or built by llama-cpp-python. */
export const builds = ["prebuilt", "built"] as const;
export type Build = typeof builds[number];

const LLAMA_VERSION = "3.22.1"; // of node-llama-cpp; its llama.cpp is 0.5.0

/** Where the package is. */
export interface Llama {
  /** Its module. */
  readonly module: string;
  /** Folder of the shared libraries. */
  readonly libraries: string;
}

/**
 * Installs node-llama-cpp in the cache folder, without its 600 MB for GPUs.
 *
 * @throws {SpecacheError} file: npm is missing or fails; unsupported: no prebuilt library
 */
export async function installLlama(): Promise<Llama> {
  const platform = `linux-${process.arch}`;
  const packages = ["node-llama-cpp", `@node-llama-cpp/${platform}`];
  const named = packages.map((name) => `${name}@${LLAMA_VERSION}`);
  const modules = await nodeEnvironment("peers-speed-llama", named);
  const libraries = join(modules, "@node-llama-cpp", platform, "bins", platform);
  if (existsSync(libraries)) {
    return { module: join(modules, "node-llama-cpp", "dist", "index.js"), libraries };
  }
  throw new SpecacheError("unsupported", `Cannot run node-llama-cpp: no ${libraries}`);
}

/**
 * Folder of llama.cpp's shared libraries; builds them where they are to be built.
 *
 * @throws {SpecacheError} as installLlama; file: what pip builds cannot be had
 */
export async function llamaLibraries(build: Build): Promise<string> {
  if (build === "prebuilt") return (await installLlama()).libraries;
  const folder = fileURLToPath(new URL("llama_built", import.meta.url));
  const python = await pythonEnvironment("peers-speed-llama-built", folder);
  const print = "import llama_cpp; print(llama_cpp.__path__[0])";
  const { stdout } = await promisify(execFile)(python, ["-c", print]);
  return join(stdout.trim(), "lib");
}
