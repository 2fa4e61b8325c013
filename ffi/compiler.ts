// compiler.ts - finds a C++ compiler, or fetches one with pip into the cache folder where the
// machine has none: zig's clang with its own C and C++ libraries. A compiler of the machine always
// comes first.
import { execFile } from "node:child_process";
import { chmod, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { SpecacheError } from "../engine/errors.ts";
import { cacheHome } from "./home.ts";
import { exists, fetchWheels } from "./pip.ts";

const FOLDER = "ziglang-0.17.1"; // in the cache folder
const WHEELS = ["ziglang==0.17.1"];
const PROGRAM = "c++"; // in that folder: what a compiler is called by
/** What a fetch of the compiler takes, as a sentence says it. */
export const COMPILER_SIZE = "101 MB to fetch, 500 MB on disk"; // with what its first use adds

const CPU = process.arch === "arm64" ? "aarch64" : "x86_64"; // as zig calls it
// glibc 2.28 is of 2018; zig keeps the libraries that it makes beside itself.
const SCRIPT = `#!/bin/sh
folder=\${0%/*}
export ZIG_GLOBAL_CACHE_DIR="$folder/cache" ZIG_LOCAL_CACHE_DIR="$folder/cache"
exec "$folder/ziglang/zig" c++ -target ${CPU}-linux-gnu.2.28 "$@"
`;

const run = promisify(execFile);

/** A C++ compiler. */
export interface Compiler {
  /** As it is called: a name on PATH, or a path. */
  readonly command: string;
  /** Its file. */
  readonly path: string;
  /** The first line that --version prints. */
  readonly version: string;
  /** Whether it is the one that fetchCompiler() fetches. */
  readonly fetched: boolean;
}

/** Where a fetched compiler is, or would be. */
export function compilerFolder(): string {
  return join(cacheHome(), FOLDER);
}

/** CXX and nothing else where it is set; else one of the machine, else the fetched one, or null. */
export async function findCompiler(): Promise<Compiler | null> {
  const wanted = process.env.CXX;
  const own = join(compilerFolder(), PROGRAM);
  for (const command of wanted ? [wanted] : ["g++", "clang++", "c++", own]) {
    try {
      const { stdout } = await run(command, ["--version"]);
      const path = await pathOf(command);
      return { command, path, version: stdout.split("\n")[0].trim(), fetched: command === own };
    } catch {
      // The next one may be there.
    }
  }
  return null;
}

async function pathOf(command: string): Promise<string> {
  if (command.includes("/")) return command;
  for (const folder of (process.env.PATH ?? "").split(delimiter).filter(Boolean)) {
    if (await exists(join(folder, command))) return join(folder, command);
  }
  return command;
}

/** What to do where findCompiler() finds none. */
export function compilerAdvice(): string {
  const install = "install one: apt-get install g++, dnf install gcc-c++, or apk add g++";
  if (process.env.CXX) return `${install}; CXX names the one that is wanted`;
  return `${install}; or "specache toolchain c++" fetches one (${COMPILER_SIZE}) into ` +
    compilerFolder();
}

/**
 * The command of a C++ compiler; fetches one where none is found. Two processes may do so at once.
 *
 * @throws {SpecacheError} unsupported: CXX names another; file: pip is missing or fetches nothing;
 * device: what it fetched does not run
 */
export async function fetchCompiler(): Promise<string> {
  const found = await findCompiler();
  if (found !== null) return found.command;
  if (process.env.CXX) {
    const sentence = `Cannot fetch a C++ compiler: CXX ${process.env.CXX} is wanted, does not run`;
    throw new SpecacheError("unsupported", sentence);
  }
  await fetchWheels({
    what: "a C++ compiler",
    wheels: WHEELS,
    folder: FOLDER,
    proof: PROGRAM,
    async finish(folder) {
      await writeFile(join(folder, PROGRAM), SCRIPT);
      await chmod(join(folder, PROGRAM), 0o755);
    },
  });
  const fetched = await findCompiler();
  if (fetched !== null) return fetched.command;
  const program = join(compilerFolder(), PROGRAM);
  throw new SpecacheError("device", `Cannot fetch a C++ compiler: ${program} does not run`, {
    details: { program },
  });
}
