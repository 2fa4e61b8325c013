// cuda_programs.ts - the programs of tests for the emulated CUDA device: how they are built, run.
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import {
  buildProgram,
  listFiles,
  type Program,
  type ProgramOptions,
  type Variant,
} from "../cuda/emulator/build.ts";
import type { MutantOptions } from "../cuda/emulator/mutants.ts";
import { compileObjects } from "../ffi/build.ts";

/** How a program is run. */
export interface Setting {
  readonly variant: Variant;
  readonly schedule: "eager" | "lazy" | "random";
  readonly seed: number;
  /** Id of the mutant that is put in the place of what is right. */
  readonly mutant?: number;
  /** More of its environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Output after which the program is ended: what it would still say is not wanted. */
  readonly until?: RegExp;
  /** Milliseconds after which the program is ended. */
  readonly limit?: number;
}

/** How a run ended. */
export interface Ended {
  readonly status: number;
  readonly output: string;
  readonly milliseconds: number;
  /** Whether the limit ended it. */
  readonly late: boolean;
}

/** The project's folder. */
export const root: string = join(dirname(fileURLToPath(import.meta.url)), "..");
const tests = join(root, "cuda", "emulator", "tests");
const nativeTests = join(root, "native", "tests");
const main = join(nativeTests, "main.cpp");
const product = [join(root, "cuda"), join(root, "native")]; // folders of its headers

/** The mutants that the kernels' program holds unless others are asked for. */
export const usualMutants: MutantOptions = { seed: 1, count: 240 };

function build(
  nvcc: string,
  name: string,
  sources: readonly string[],
  include: readonly string[],
  variants: readonly Variant[],
  more: Omit<ProgramOptions, "nvcc" | "name" | "sources" | "include" | "variants" | "output"> = {},
): Promise<Program> {
  return buildProgram({
    ...{ nvcc, name, sources, include, variants, ...more },
    output: join(root, "build", "cuda"),
    defines: ["SPECACHE_CUDA", 'SPECACHE_NEAR="../../cuda/tests/near.h"'],
  });
}

/** The emulator's own tests, which have to pass. */
export function buildRight(nvcc: string, variants: readonly Variant[]): Promise<Program> {
  const sources = [...listFiles(tests, "_test.cu"), main];
  return build(nvcc, "right", sources, [tests, nativeTests], variants);
}

/** The emulator's seeded faults. */
export function buildFaults(nvcc: string, variants: readonly Variant[]): Promise<Program> {
  const sources = [...listFiles(tests, "_fault.cu"), ...listFiles(tests, "faults.cpp")];
  return build(nvcc, "faults", sources, [tests, nativeTests], variants);
}

/** The product's kernels with their tests, all other code of the library, and mutants. */
export async function buildKernels(
  nvcc: string,
  variants: readonly Variant[],
  mutants: MutantOptions = usualMutants,
): Promise<Program> {
  const sources = [...librarySources(), ...listFiles(join(root, "cuda", "tests"), "_test.cpp")];
  const objects = await nativeObjects();
  return await build(nvcc, "kernels", [...sources, main], product, variants, { mutants, objects });
}

/** The same, but for some kernels of 75. */
export async function buildKernels75(nvcc: string, kernels: readonly string[]): Promise<string> {
  const sources = [...librarySources(), ...listFiles(join(root, "cuda", "tests"), "_test.cpp")];
  const of75 = kernels.map((name) => join(root, "cuda", `${name}.cu`));
  const more = { ...await shared(), of75 };
  const { programs } = await build(
    nvcc,
    "kernels-75",
    [...sources, main],
    product,
    ["plain"],
    more,
  );
  return programs[0];
}

// Of programs that choose no mutant: they have those of buildKernels() all the same, since kernels
// take a minute to be compiled.
async function shared() {
  const mutated = librarySources();
  return { objects: await nativeObjects(), mutants: usualMutants, mutated };
}

/** What measures device cuda on a GPU; the path. */
export async function buildBench(nvcc: string): Promise<string> {
  const own = [".cu", ".cpp"].flatMap((end) => listFiles(join(root, "cuda", "bench"), end));
  const sources = [...librarySources(), ...own];
  const { programs } = await build(nvcc, "bench", sources, product, ["plain"], await shared());
  return programs[0];
}

/** libspecache whose device cuda is the emulated one; the path. */
export async function buildLibrary(nvcc: string): Promise<string> {
  const more = { ...await shared(), shared: true };
  const sources = librarySources();
  const { programs } = await build(nvcc, "libspecache", sources, product, ["plain"], more);
  return programs[0];
}

// What is compiled anew for the emulated device.
function librarySources(): string[] {
  const cuda = listFiles(join(root, "cuda"), ".cu").filter((path) =>
    !/\/(emulator|bench)\//.test(path)
  );
  return [...cuda, join(root, "native", "devices.cpp")];
}

// What the library has for any device.
async function nativeObjects(): Promise<string[]> {
  const folders = { native: join(root, "native"), output: join(root, "build") };
  const objects = [...await compileObjects(folders)];
  return objects.filter(([, source]) => source !== "devices.cpp").map(([object]) => object);
}

/** Runs a program; a sanitizer's first report ends it with a status above 0. */
export function runProgram(
  program: string,
  args: readonly string[],
  setting: Setting,
): Promise<Ended> {
  const env = {
    ...process.env,
    EMULATOR_SCHEDULE: setting.schedule,
    EMULATOR_SEED: String(setting.seed),
    EMULATOR_MEMORY: "256", // MiB: so little that it has to be given out again
    EMULATOR_MUTANT: String(setting.mutant ?? 0),
    ...setting.environment,
    ASAN_OPTIONS: "detect_leaks=0:color=never",
    TSAN_OPTIONS: "halt_on_error=1:atexit_sleep_ms=0:color=never",
  };
  const begun = Date.now();
  return new Promise((resolve) => {
    const child = spawn(program, args, { env });
    const parts: string[] = [];
    let late = false;
    const end = (status: number, output: string) => {
      clearTimeout(timer);
      resolve({ status, output, late, milliseconds: Date.now() - begun });
    };
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, setting.limit ?? 2 ** 31 - 1);
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (data) => {
        parts.push(String(data));
        if (setting.until?.test(parts.join(""))) child.kill("SIGKILL");
      });
    }
    child.on("error", (error) => end(1, String(error)));
    child.on("close", (status) => end(status ?? 1, parts.join("")));
  });
}

/** Does the work for each item, as many at once as there are cores. */
export async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>) {
  let next = 0;
  const worker = async () => {
    while (next < items.length) await work(items[next++]);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}
