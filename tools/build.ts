// build.ts - `deno task build`: the library from its sources; prints where it is.
import process from "node:process";
import { SpecacheError } from "../engine/errors.ts";
import { build } from "../ffi/build.ts";
import { buildFolder, nativeFolder } from "../ffi/library.ts";

try {
  const started = Date.now();
  const { library } = await build({
    native: nativeFolder(),
    output: buildFolder(),
    progress: (text) => console.error(`  ${text}`),
  });
  console.error(`${library} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
} catch (error) {
  if (!(error instanceof SpecacheError)) throw error;
  console.error(error.message);
  process.exitCode = error.code === "unsupported" ? 2 : 1;
}
