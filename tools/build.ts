// build.ts - `deno task build`: the library from its sources; prints where it is. With device cuda
// where nvcc is found: on PATH, by CUDA_HOME or CUDA_PATH, or fetched by `deno task toolchain`.
import process from "node:process";
import { SpecacheError } from "../engine/errors.ts";
import { build } from "../ffi/build.ts";
import { buildFolder, nativeFolder } from "../ffi/library.ts";
import { findCuda } from "../ffi/toolchain.ts";

try {
  const started = Date.now();
  const native = nativeFolder();
  const cuda = await findCuda(native);
  if (cuda === undefined) console.error("  no nvcc: the library gets device cpu alone");
  const { library } = await build({
    native,
    output: buildFolder(),
    cuda,
    progress: (text) => console.error(`  ${text}`),
  });
  console.error(`${library} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
} catch (error) {
  if (!(error instanceof SpecacheError)) throw error;
  console.error(error.message);
  process.exitCode = error.code === "unsupported" ? 2 : 1;
}
