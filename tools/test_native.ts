// test_native.ts - builds the native tests, runs them; `--sanitize address,undefined` or `thread`.
import { spawnSync } from "node:child_process";
import process from "node:process";
import { parseArgs } from "node:util";
import { build } from "../ffi/build.ts";
import { buildFolder, nativeFolder } from "../ffi/library.ts";

const { values, positionals } = parseArgs({
  options: { sanitize: { type: "string" } },
  allowPositionals: true,
});
const { tests } = await build({
  native: nativeFolder,
  output: buildFolder(),
  tests: true,
  sanitize: values.sanitize,
});
const { status } = spawnSync(tests!, positionals, { stdio: "inherit" });
process.exitCode = status ?? 1;
