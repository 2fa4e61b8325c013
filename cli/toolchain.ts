// toolchain.ts - `specache toolchain`: fetches what the library is built with, and offers to.
import process from "node:process";
import { createInterface } from "node:readline/promises";
import { SpecacheError } from "../engine/errors.ts";
import { COMPILER_SIZE, compilerFolder, fetchCompiler, findCompiler } from "../ffi/compiler.ts";
import { cacheHome } from "../ffi/home.ts";
import { fetchNvcc } from "../ffi/toolchain.ts";
import { readFlags } from "./options.ts";
import type { Streams, Terminal } from "./output.ts";

const ACTION = "fetch a toolchain";
const flag = { type: "boolean" } as const;
const tools: Readonly<Record<string, () => Promise<string>>> = {
  "c++": fetchCompiler,
  nvcc: fetchNvcc,
};

/** Flags of the command. */
export const toolchainFlags = { help: flag, verbose: flag } as const;

/** Help of the command. */
export const toolchainHelp =
  `specache toolchain NAME - fetch what builds the library; prints its path

  c++                    a C++ compiler where the machine has none: zig's clang
                         (${COMPILER_SIZE})
  nvcc                   NVIDIA's compiler, for device cuda (129 MB to fetch, 346 MB on disk)
  --verbose  --help

  specache toolchain c++

Where the machine has one, its path is printed and nothing is fetched. What is fetched, by Python 3
with pip, goes into a folder of SPECACHE_HOME, default ~/.cache/specache; remove it at any time.
`;

/** Runs the command. */
export async function toolchain(
  args: readonly string[],
  { stdout, stderr }: Streams,
): Promise<void> {
  const names = args.filter((arg) => !arg.startsWith("-"));
  const flags = readFlags(ACTION, args.filter((arg) => arg.startsWith("-")), toolchainFlags);
  if (flags.help) {
    stdout.write(toolchainHelp);
    return;
  }
  const refuse = (sentence: string): never => {
    throw new SpecacheError("argument", `Cannot ${ACTION}: ${sentence}`);
  };
  const [name] = names;
  const known = Object.keys(tools);
  if (names.length !== 1) refuse(`${names.length} names are given, not 1 of ${known.join(", ")}`);
  if (!Object.hasOwn(tools, name)) refuse(`name ${name || '""'} is none of ${known.join(", ")}`);
  if (name === "c++" && await findCompiler() === null) {
    stderr.write(`Fetching a C++ compiler (${COMPILER_SIZE}) into ${compilerFolder()}\n`);
  }
  stdout.write(`${await tools[name]()}\n`);
}

/** Answers a question with yes or no. */
export type Ask = (question: string) => Promise<boolean>;

/**
 * Offers to fetch a C++ compiler where the machine has none and somebody is there to answer, and
 * fetches nothing without a yes.
 */
export async function offerCompiler(stderr: Terminal, ask: Ask | null = askOf()): Promise<void> {
  if (ask === null || process.env.CXX || await findCompiler() !== null) return;
  const place = `into ${compilerFolder()}`;
  const question = `There is no C++ compiler here. Fetch one (${COMPILER_SIZE}) ${place}? [y/N] `;
  if (!await ask(question)) return; // the build then says what else there is to do
  stderr.write(`Fetching a C++ compiler into ${cacheHome()}\n`);
  await fetchCompiler();
}

function askOf(): Ask | null {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return null;
  return async (question) => {
    const terminal = createInterface({ input: process.stdin, output: process.stderr });
    try {
      return /^y(es)?$/i.test((await terminal.question(question)).trim());
    } finally {
      terminal.close();
    }
  };
}
