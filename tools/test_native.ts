// test_native.ts - builds the native tests, runs them; `--sanitize address,undefined` or `thread`;
// words after it choose tests by fact or file.
import { spawnSync } from "node:child_process";
import process from "node:process";
import { parseArgs } from "node:util";
import { build } from "../ffi/build.ts";
import { buildFolder, nativeFolder } from "../ffi/library.ts";
import { findCuda } from "../ffi/toolchain.ts";

// Without these undefined behaviour is told but forgiven: the tests would end in success.
const strict = {
  UBSAN_OPTIONS: "halt_on_error=1:print_stacktrace=1",
  TSAN_OPTIONS: "halt_on_error=1",
};

/** Builds the native tests, runs those that hold one of the words, and gives the exit status. */
export async function testNative(
  sanitize: string | undefined,
  words: readonly string[],
): Promise<number> {
  const native = nativeFolder();
  const { tests } = await build({
    native,
    // The library beside the tests is the one that `deno task build` makes.
    cuda: sanitize === undefined ? await findCuda(native) : undefined,
    output: buildFolder(),
    tests: true,
    sanitize,
  });
  const { status } = spawnSync(tests!, words, {
    stdio: "inherit",
    env: { ...process.env, ...strict },
  });
  return status ?? 1;
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    options: { sanitize: { type: "string" } },
    allowPositionals: true,
  });
  process.exitCode = await testNative(values.sanitize, positionals);
}
