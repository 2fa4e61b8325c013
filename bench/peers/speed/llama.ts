// llama.ts - llama.cpp as node-llama-cpp ships it: prebuilt, one library for each kind of CPU, of
// which it loads the best. No GPU.
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { SpecacheError } from "../../../engine/errors.ts";
import { nodeEnvironment } from "../environment.ts";

export const LLAMA_VERSION = "3.22.1"; // of node-llama-cpp; its llama.cpp is 0.5.0

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
