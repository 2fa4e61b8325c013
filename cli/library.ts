// library.ts - builds the native library where a command needs it and none was built.
import { build } from "../ffi/build.ts";
import { findCompiler } from "../ffi/compiler.ts";
import { buildFolder, findLibrary, nativeFolder } from "../ffi/library.ts";
import { findCuda } from "../ffi/toolchain.ts";
import { SpecacheError } from "../engine/errors.ts";
import { StatusLine, type Terminal } from "./output.ts";
import { offerCompiler } from "./toolchain.ts";

/** Builds the library where none is found; says so first. */
export async function ensureLibrary(stderr: Terminal): Promise<void> {
  if (!isBuilt()) await buildLibrary(stderr);
}

/** Builds the library from its sources; quick where nothing changed. */
export async function buildLibrary(
  stderr: Terminal,
  native: string = nativeFolder(),
  output: string = buildFolder(),
): Promise<void> {
  await offerCompiler(stderr);
  const cuda = await findCuda(native);
  const fetched = (await findCompiler())?.fetched;
  const minutes = cuda !== undefined
    ? "with CUDA, some minutes"
    : fetched
    ? "with the fetched compiler, some minutes"
    : "half a minute to a minute";
  stderr.write(`Building the native library (once; ${minutes})\n`);
  const line = new StatusLine(stderr);
  try {
    const progress = (file: string) => line.show(`  ${file}`);
    try {
      await build({ native, output, cuda, progress });
    } catch (error) {
      // Nobody asked for CUDA: an nvcc that fails leaves the CPU.
      if (cuda === undefined || !(error instanceof SpecacheError)) throw error;
      line.end();
      stderr.write(`${error.message.split("\n")[0]}\nBuilding without device cuda\n`);
      await build({ native, output, progress });
    }
  } finally {
    line.end();
  }
}

function isBuilt(): boolean {
  try {
    findLibrary();
    return true;
  } catch {
    return false; // it says to build, which is what comes next
  }
}
