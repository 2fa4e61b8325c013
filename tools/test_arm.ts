// test_arm.ts - `deno task test:arm`: builds the native tests for arm64 with a cross compiler and
// runs them under qemu's emulation of a process; words choose tests by fact or file. On an arm64
// machine `deno task test:native` does so without either.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { SpecacheError } from "../engine/errors.ts";
import { build } from "../ffi/build.ts";
import { buildFolder, nativeFolder } from "../ffi/library.ts";

const COMPILER = "aarch64-linux-gnu-g++";
const EMULATOR = "qemu-aarch64";
const PACKAGES = { [COMPILER]: "g++-aarch64-linux-gnu", [EMULATOR]: "qemu-user" }; // of Debian

/**
 * Builds the native tests for arm64, runs those that hold one of the words, and gives the exit
 * status.
 *
 * @throws {SpecacheError} unsupported: there is no cross compiler or emulator; device: the build
 * failed
 */
export async function testArm(words: readonly string[]): Promise<number> {
  const libc = outputOf(COMPILER, ["-print-file-name=libc.so.6"]);
  outputOf(EMULATOR, ["--version"]);
  const { tests } = await build({
    native: nativeFolder(),
    output: join(buildFolder(), "arm64"), // what is loaded here comes from build/release
    tests: true,
    cross: { architecture: "arm64", compiler: COMPILER },
    progress: (text) => console.error(`  ${text}`),
  });
  const libraries = join(libc, "..", ".."); // the folder whose lib/ has the dynamic linker
  const { status } = spawnSync(EMULATOR, ["-L", libraries, tests!, ...words], { stdio: "inherit" });
  return status ?? 1;
}

/** What the machine lacks for it, as a sentence's end, or null. */
export function missingForArm(): string | null {
  try {
    outputOf(COMPILER, ["--version"]);
    outputOf(EMULATOR, ["--version"]);
    return null;
  } catch (error) {
    return (error as Error).message.replace(/^[^:]*: /, "");
  }
}

function outputOf(command: keyof typeof PACKAGES, args: readonly string[]): string {
  const { status, stdout } = spawnSync(command, args, { encoding: "utf8" });
  if (status === 0) return stdout.trim();
  throw new SpecacheError(
    "unsupported",
    `Cannot test arm64: no ${command} was found; install it: apt-get install ${PACKAGES[command]}`,
  );
}

if (import.meta.main) {
  try {
    process.exitCode = await testArm(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof SpecacheError)) throw error;
    console.error(error.message);
    process.exitCode = error.code === "unsupported" ? 2 : 1;
  }
}
