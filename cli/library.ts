// library.ts - builds the native library where a command needs it and none was built.
import * as ffi from "../ffi/ensure.ts";
import { StatusLine, type Terminal } from "./output.ts";
import { offerCompiler } from "./toolchain.ts";

/** Builds the library where none is found; says so first. */
export async function ensureLibrary(stderr: Terminal): Promise<void> {
  if (!ffi.isBuilt()) await built(stderr, { again: false });
}

/** Builds the library from its sources; quick where nothing changed. */
export async function buildLibrary(
  stderr: Terminal,
  native?: string,
  output?: string,
): Promise<void> {
  await built(stderr, { native, output });
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
