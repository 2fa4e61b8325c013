// library.ts - builds the native library where a command needs it and none was built.
import type { EngineOptions } from "../engine/config.ts";
import * as ffi from "../ffi/ensure.ts";
import { StatusLine, type Terminal } from "./output.ts";
import { offerCompiler } from "./toolchain.ts";

/** Builds the library where none is found that has `device`; says so first. */
export async function ensureLibrary(
  stderr: Terminal,
  device: EngineOptions["device"] = "auto",
): Promise<void> {
  const wanted = device === "cuda" ? "cuda" : "cpu"; // auto is the CPU, as for an engine
  if (!ffi.isBuilt(wanted)) await built(stderr, { device: wanted, again: false });
}

/** Builds the library from its sources; quick where nothing changed. */
export async function buildLibrary(
  stderr: Terminal,
  native?: string,
  output?: string,
): Promise<void> {
  const device = output === undefined && ffi.isBuilt("cuda") ? "cuda" : "cpu"; // what is there
  await built(stderr, { native, output, device });
}

async function built(stderr: Terminal, options: ffi.LibraryBuild): Promise<void> {
  await offerCompiler(stderr);
  const line = new StatusLine(stderr);
  try {
    await ffi.buildLibrary({
      ...options,
      notice(sentence) {
        line.end();
        stderr.write(`${sentence}\n`);
      },
      progress: (file) => line.show(`  ${file}`),
    });
  } finally {
    line.end();
  }
}
