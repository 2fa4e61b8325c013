// build.ts - builds libspecache from native/ with the C++ compiler of the machine: no build system,
// so that a user needs a compiler and nothing else. Objects are kept by a hash of all that made
// them. Two processes may build at once: each file is made under a name of its own and renamed into
// place.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, utimesSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, join, relative } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { SpecacheError } from "../engine/errors.ts";
import { compilerAdvice, findCompiler } from "./compiler.ts";
import { cudaLibrary } from "./library.ts";

const run = promisify(execFile);

/** How to build. */
export interface BuildOptions {
  /** Folder of the sources. */
  readonly native: string;
  /** Folder of objects and results. */
  readonly output: string;
  /** What g++ calls the sanitizers, e.g. "address,undefined"; none by default. */
  readonly sanitize?: string;
  /** Also build the test program. */
  readonly tests?: boolean;
  /** For another architecture than this machine's. */
  readonly cross?: Cross;
  /** nvcc and the folder of the CUDA sources: the library gets device cuda. */
  readonly cuda?: CudaOptions;
  /** Called once before anything is compiled or linked; not where all is built. */
  readonly begin?: () => void;
  /** Told of each file that is compiled. */
  readonly progress?: (text: string) => void;
}

/** An architecture that the library is built for, as the runtimes call it. */
export type Architecture = "x64" | "arm64";

/** What builds for another architecture. */
export interface Cross {
  readonly architecture: Architecture;
  /** The C++ compiler for it. */
  readonly compiler: string;
}

/** How to build device cuda. */
export interface CudaOptions {
  readonly nvcc: string;
  /** Folder of libcudart_static.a, of the same toolkit. */
  readonly runtime: string;
  /** Folder of the sources, beside `native`. */
  readonly sources: string;
  /** Whose machine code is made; default one of each major, which runs on its later minors. */
  readonly architectures?: readonly string[];
}

/** What was built. */
export interface Built {
  readonly library: string;
  /** The test program, where it was asked for. */
  readonly tests: string | null;
}

const standard = [
  "-std=c++20",
  "-O3",
  "-fPIC",
  "-fvisibility=hidden",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-Wno-psabi", // 64-byte vectors only pass between functions of one file
];
// Each kernel is compiled for all instruction sets of an architecture; the library picks one when
// it is loaded.
const avx512 = [
  ..."-mavx2 -mfma -mf16c -mbmi2 -mavx512f -mavx512bw -mavx512vl -mavx512dq".split(" "),
  ...["-mavx512vbmi", "-mavx512vnni"],
];
const portable = ["-O2"]; // half of the time that -O3 takes
const isas: Record<Architecture, Record<string, readonly string[]>> = {
  x64: {
    portable, // hardly any CPU needs it
    avx2: ["-mavx2", "-mfma", "-mf16c", "-mbmi2", "-ffp-contract=fast"],
    avx512,
    amx: [...avx512, "-mamx-tile", "-mamx-bf16"],
  },
  arm64: { portable, neon: ["-DSPECACHE_NEON", "-ffp-contract=fast"] },
};
// Every arm64 CPU fuses a product and a sum, and compilers make use of it: portable kernels and all
// that is no kernel must not, so that they round as on x86-64.
const unfused: Record<Architecture, readonly string[]> = {
  x64: [],
  arm64: ["-ffp-contract=off"],
};
const kernels = "cpu/kernels";
// Instruction sets that better another's kernels here and there have those in a folder.
const folders: Record<string, string> = { amx: "cpu/amx" };
/** Machine code is made for each major, and PTX of the last for what comes after. */
export const cudaArchitectures: readonly string[] = ["75", "80", "90", "100", "120"];
/** How the kernels are compiled for any target. */
export const kernelFlags: readonly string[] = [
  ...["-std=c++20", "-O3", "--expt-relaxed-constexpr", "-Werror", "all-warnings"],
];
const nvccFlags = [
  ...kernelFlags,
  ...["-Xcompiler", "-fPIC,-fvisibility=hidden,-Wall,-Wextra,-Werror"],
];

interface Unit {
  readonly source: string;
  readonly object: string;
  readonly flags: readonly string[];
  readonly compiler: string;
}

/**
 * Builds the library, and the tests if asked; quick where nothing changed.
 *
 * @throws {SpecacheError} unsupported: not Linux on x86-64 or arm64, or no compiler; device: the
 * build failed
 */
export async function build(options: BuildOptions): Promise<Built> {
  const { compiler, folder, sanitize, units, begin } = await compileAll(options);
  const objects = units.filter((unit) => !inTests(options, unit)).map(({ object }) => object);
  const link = (target: string, files: readonly string[], more: readonly string[]) =>
    linkOnce(
      compiler,
      target,
      files,
      [...sanitize, ...more, ...cudaRuntime(options), "-pthread"],
      begin,
    );
  const name = options.cuda === undefined ? "libspecache.so" : cudaLibrary;
  const library = await link(join(folder, name), objects, ["-shared"]);
  if (!options.tests) return { library, tests: null };
  const all = units.map(({ object }) => object);
  return { library, tests: await link(join(folder, "native-tests"), all, []) };
}

/** Compiles what build() links; the objects, each with its source below `native`. */
export async function compileObjects(options: BuildOptions): Promise<Map<string, string>> {
  const { units } = await compileAll(options);
  return new Map(units.map(({ source, object }) => [object, relative(options.native, source)]));
}

const inTests = ({ native }: BuildOptions, { source }: Unit) =>
  relative(native, source).startsWith("tests/");

async function compileAll(options: BuildOptions) {
  const architecture = options.cross?.architecture ?? ownArchitecture();
  const compiler = options.cross?.compiler ?? await compilerOf();
  const sanitize = options.sanitize === undefined ? [] : [`-fsanitize=${options.sanitize}`, "-g"];
  const folder = join(options.output, options.sanitize?.replaceAll(",", "-") ?? "release");
  mkdirSync(folder, { recursive: true });
  const common = [...standard, ...unfused[architecture], ...sanitize];
  const plain = unitsOf(options, folder, compiler, common, isas[architecture]);
  const units = [...plain, ...cudaUnits(options, folder, compiler)];
  const missing = units.filter(({ object }) => !existsSync(object));
  const begin = once(options.begin);
  if (missing.length > 0) begin();
  let done = 0;
  await inParallel(missing, async (unit) => {
    await compile(unit);
    options.progress?.(`${++done}/${missing.length} ${relative(options.native, unit.source)}`);
  });
  return { compiler, folder, sanitize, units, begin };
}

function once(call: () => void = () => {}): () => void {
  let called = false;
  return () => {
    if (!called) call();
    called = true;
  };
}

function ownArchitecture(): Architecture {
  const { platform, arch } = process;
  if (platform === "linux" && (arch === "x64" || arch === "arm64")) return arch;
  throw new SpecacheError(
    "unsupported",
    `Cannot build libspecache: ${platform} ${arch} is neither linux x64 nor linux arm64`,
    { details: { platform, arch } },
  );
}

async function compilerOf(): Promise<string> {
  const compiler = await findCompiler();
  if (compiler !== null) return compiler.command;
  const names = process.env.CXX || "g++, clang++";
  throw new SpecacheError(
    "unsupported",
    `Cannot build libspecache: no C++ compiler (${names}) was found; ${compilerAdvice()}`,
  );
}

function unitsOf(
  options: BuildOptions,
  folder: string,
  compiler: string,
  common: readonly string[],
  sets: Record<string, readonly string[]>,
): Unit[] {
  const files = listFiles(options.native);
  const headersOf = (tests: boolean) => {
    const hash = createHash("sha256").update([compiler, ...common].join(" "));
    for (const file of files.filter((name) => name.endsWith(".h"))) {
      if (!tests && file.startsWith("tests/")) continue;
      hash.update(file).update(readFileSync(join(options.native, file)));
    }
    return hash.digest("hex");
  };
  const [ours, all] = [headersOf(false), headersOf(true)];
  const unit = (file: string, name: string, flags: readonly string[]): Unit => {
    const source = join(options.native, file);
    const headers = file.startsWith("tests/") ? all : ours;
    const hash = createHash("sha256").update(headers).update(flags.join(" "));
    const key = hash.update(readFileSync(source)).digest("hex").slice(0, 16);
    const object = join(folder, `${name}-${basename(file, ".cpp")}-${key}.o`);
    return { source, object, flags: [...common, ...flags], compiler };
  };
  const cuda = options.cuda === undefined ? [] : ["-DSPECACHE_CUDA"];
  const sources = files.filter((name) => name.endsWith(".cpp"));
  const isKernel = (name: string) =>
    [kernels, ...Object.values(folders)].some((folder) => name.startsWith(`${folder}/`));
  const plain = sources.filter((name) => !isKernel(name))
    .filter((name) => options.tests || !name.startsWith("tests/"))
    .map((file) => {
      const flags = file === "devices.cpp" ? cuda : [];
      return unit(file, file.split("/").slice(0, -1).join("-") || "top", flags);
    });
  // The least instruction set is linked first: of a function that several objects carry (the
  // standard library's templates) the linker takes the first, and that one runs everywhere.
  const perIsa = Object.entries(sets).flatMap(([isa, flags]) =>
    sources.filter((name) => name.startsWith(`${folders[isa] ?? kernels}/`))
      .map((file) => unit(file, isa, [`-DSPECACHE_ISA=${isa}`, ...flags, ...rounding(file)]))
  );
  return [...plain, ...perIsa];
}

// Inputs of 8 bits give the same bits on every instruction set: no product is fused with a sum.
function rounding(file: string): string[] {
  return basename(file) === "project_int8.cpp" ? ["-ffp-contract=off"] : [];
}

function cudaUnits(options: BuildOptions, folder: string, compiler: string): Unit[] {
  if (options.cuda === undefined) return [];
  const { nvcc, sources } = options.cuda;
  const targets = options.cuda.architectures ?? cudaArchitectures;
  const last = targets.at(-1);
  const flags = [
    ...["-ccbin", compiler],
    ...nvccFlags,
    ...targets.flatMap((target) => ["-gencode", `arch=compute_${target},code=sm_${target}`]),
    ...["-gencode", `arch=compute_${last},code=compute_${last}`],
  ];
  const hash = createHash("sha256").update([nvcc, ...flags].join(" "));
  const files = readdirSync(sources).sort();
  const headers = listFiles(options.native).filter((name) => name.endsWith(".h"))
    .filter((name) => !name.startsWith("tests/")).map((name) => join(options.native, name));
  const own = files.filter((name) => /\.(h|cuh)$/.test(name)).map((name) => join(sources, name));
  for (const path of [...headers, ...own]) hash.update(readFileSync(path));
  const common = hash.digest("hex");
  return files.filter((name) => name.endsWith(".cu")).map((name) => {
    const source = join(sources, name);
    const key = createHash("sha256").update(common).update(readFileSync(source)).digest("hex");
    const object = join(folder, `cuda-${basename(name, ".cu")}-${key.slice(0, 16)}.o`);
    return { source, object, flags, compiler: nvcc };
  });
}

/** The runtime is linked in, so that a user needs a driver and no toolkit. */
function cudaRuntime({ cuda }: BuildOptions): string[] {
  return cuda === undefined ? [] : ["-L", cuda.runtime, "-lcudart_static", "-ldl", "-lrt"];
}

function listFiles(folder: string): string[] {
  const names = readdirSync(folder, { recursive: true }) as string[];
  return names.map((name) => name.replaceAll("\\", "/")).sort();
}

async function compile(unit: Unit): Promise<void> {
  const temporary = `${unit.object}.${process.pid}.o`; // nvcc goes by the ending
  await call(unit.compiler, [...unit.flags, "-c", unit.source, "-o", temporary]);
  renameSync(temporary, unit.object);
}

// A result carries the hash of its objects in its name, so that an unchanged one is kept. It is
// dated anew, because the newest one is what findLibrary takes.
async function linkOnce(
  compiler: string,
  target: string,
  objects: readonly string[],
  flags: readonly string[],
  begin: () => void,
): Promise<string> {
  const key = createHash("sha256").update(objects.join("\n")).digest("hex").slice(0, 16);
  const made = target.replace(/(\.so)?$/, `-${key}$1`);
  if (existsSync(made)) {
    utimesSync(made, new Date(), new Date());
    return made;
  }
  const temporary = `${made}.${process.pid}`;
  begin();
  await call(compiler, ["-o", temporary, ...objects, ...flags]);
  renameSync(temporary, made);
  return made;
}

async function call(compiler: string, args: readonly string[]): Promise<void> {
  try {
    await run(compiler, args, { maxBuffer: 1 << 24 });
  } catch (cause) {
    const { stderr } = cause as { stderr?: string };
    throw new SpecacheError("device", `Cannot build libspecache: ${stderr?.trim() ?? cause}`, {
      cause,
    });
  }
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length) await work(items[next++]);
  };
  // All end before an error is told: a compiler that is still at work would write after it.
  const ended = await Promise.allSettled(Array.from({ length: availableParallelism() }, worker));
  for (const each of ended) if (each.status === "rejected") throw each.reason;
}
