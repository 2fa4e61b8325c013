// build.ts - builds a program of .cu and .cpp files for the emulated device, or a library that a
// runtime can load: nvcc compiles, its PTX is translated to C++, and all is linked with the
// emulator in the place of libcudart.
//
// nvcc runs once a source. Its host object is linked as it is; for the sanitizers the host code
// that it wrote (.cudafe1.cpp) is compiled again, with nvcc's own flags and the sanitizer's.
// Objects are kept by a hash of all that made them and renamed into place.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { SpecacheError } from "../../engine/errors.ts";
import { drawMutants, type Mutant, type MutantOptions } from "./mutants.ts";
import { translate } from "./translate.ts";

const run = promisify(execFile);
const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");

/** Plain, or with AddressSanitizer or ThreadSanitizer. */
export type Variant = "plain" | "address" | "thread";

/** Of the virtual machines that nvcc compiles for. */
export type Architecture = "75" | "80";

/** What to build. */
export interface ProgramOptions {
  /** Path of nvcc. */
  readonly nvcc: string;
  readonly name: string;
  /** .cu and .cpp files. */
  readonly sources: readonly string[];
  /** Folders whose .h and .cuh files the sources may include. */
  readonly include: readonly string[];
  /** Folder of objects and results. */
  readonly output: string;
  readonly variants: readonly Variant[];
  /** Others that are linked with them. */
  readonly objects?: readonly string[];
  /** A shared library, not a program. */
  readonly shared?: boolean;
  /** Of every source, as "NAME=VALUE". */
  readonly defines?: readonly string[];
  /** Mistakes to build in; without EMULATOR_MUTANT the program does without them. */
  readonly mutants?: MutantOptions;
  /** Sources that have them; all where it is absent. */
  readonly mutated?: readonly string[];
  /** Sources whose PTX is of 75; of others it is of 80, the lowest with bf16 and wide products. */
  readonly of75?: readonly string[];
  /** Told of each file that is made. */
  readonly progress?: (text: string) => void;
}

const standard = ["-std=c++20", "-fPIC", "-g", "-Wall", "-Wextra", "-Werror"];
const sanitizers: Readonly<Record<Variant, readonly string[]>> = {
  plain: ["-O2"],
  address: ["-O1", "-fsanitize=address", "-fno-omit-frame-pointer", "-DEMULATOR_ADDRESS"],
  thread: ["-O1", "-fsanitize=thread", "-DEMULATOR_THREAD"],
};
// As nvcc calls the compiler for the host code that it wrote.
const hostFlags = ["-DCUDA_DOUBLE_MATH_FUNCTIONS", "-Wno-psabi"];

/** What was built. */
export interface Program {
  /** Paths, in the order of the variants. */
  readonly programs: readonly string[];
  readonly mutants: readonly Mutant[];
}

interface Front {
  readonly target: Architecture;
  readonly object: string;
  readonly host: string;
  readonly ptx: string;
}

/**
 * Builds the program in each variant.
 *
 * @throws {SpecacheError} device: a compiler failed; unsupported: PTX that is not known
 */
export async function buildProgram(options: ProgramOptions): Promise<Program> {
  mkdirSync(options.output, { recursive: true });
  const builder = new Builder(options);
  const [cuda, cpp] = [".cu", ".cpp"].map((end) =>
    options.sources.filter((path) => path.endsWith(end))
  );
  const usual = await inParallel(cuda, (source) => builder.front(source, "80"));
  const emulator = listFiles(here, ".cpp").filter((path) => !path.includes("/tests/"));
  const mutated = usual.filter((_, at) => options.mutated?.includes(cuda[at]) ?? true);
  const ptx = mutated.map(({ ptx }) => ({ name: basename(ptx), text: readFileSync(ptx, "utf8") }));
  const mutants = options.mutants === undefined ? [] : drawMutants(ptx, options.mutants, root);
  const fronts = await inParallel(
    cuda,
    (source) => builder.front(source, options.of75?.includes(source) ? "75" : "80"),
  );
  const mutantsOf = (front: Front) => front.target === "75" ? [] : mutants;
  const works = options.variants.flatMap((variant) => [
    ...fronts.map((front) => () => builder.translated(front, variant, mutantsOf(front))),
    ...fronts.map((front) => () => builder.host(front, variant)),
    ...emulator.map((source) => () => builder.emulator(source, variant)),
    ...cpp.map((source) => () => builder.source(source, variant)),
  ]);
  const objects = await inParallel(works, (work) => work());
  const count = objects.length / options.variants.length;
  const programs = await inParallel(
    options.variants.map((variant, i) => ({ variant, i })),
    ({ variant, i }) => builder.link(objects.slice(i * count, (i + 1) * count), variant),
  );
  return { programs, mutants };
}

class Builder {
  readonly #options: ProgramOptions;
  readonly #headers: string;
  readonly #emulatorHeaders: string;
  readonly #toolkit: string;

  constructor(options: ProgramOptions) {
    this.#options = options;
    this.#toolkit = join(dirname(options.nvcc), "..", "include");
    const headers = options.include.flatMap((folder) => [
      ...listFiles(folder, ".h"),
      ...listFiles(folder, ".cuh"),
    ]);
    this.#headers = hashOf(options.nvcc, ...headers.map((path) => readFileSync(path, "utf8")));
    this.#emulatorHeaders = hashOf(
      options.nvcc,
      ...listFiles(here, ".h").map((path) => readFileSync(path, "utf8")),
    );
  }

  /** Runs nvcc on a .cu file: host object, host code and PTX. */
  async front(source: string, target: Architecture): Promise<Front> {
    const flags = ["-std=c++20", "-O3", "-lineinfo", "-Werror", "all-warnings"];
    flags.push("--expt-relaxed-constexpr"); // std::bit_cast in kernels
    flags.push("-gencode", `arch=compute_${target},code=compute_${target}`);
    flags.push("-Xcompiler", "-fPIC,-g,-Wall,-Wextra,-Werror", ...this.#includes());
    const name = basename(source, ".cu");
    const key = hashOf(this.#headers, flags.join(" "), source, readFileSync(source, "utf8"));
    const folder = join(this.#options.output, `nvcc-${name}-${key}`);
    if (!existsSync(folder)) {
      const temporary = mkdtempSync(`${folder}.`);
      const object = join(temporary, `${name}.o`);
      // A path from the root: it is what reports name.
      const path = relative(root, source);
      await call(this.#options.nvcc, [
        ...flags,
        ...["--keep", "--keep-dir", temporary, "-c", path, "-o", object],
      ]);
      putInPlace(temporary, folder);
      this.#options.progress?.(`nvcc ${path}`);
    }
    const file = (end: string) => join(folder, `${name}${end}`);
    return { target, object: file(".o"), host: file(".cudafe1.cpp"), ptx: file(".ptx") };
  }

  host({ target, object, host }: Front, variant: Variant): Promise<string> {
    if (variant === "plain") return Promise.resolve(object);
    return this.#object(host, readFileSync(host, "utf8"), [
      ...["-std=c++20", "-fPIC", "-g", "-I", this.#toolkit, ...hostFlags],
      `-D__CUDA_ARCH_LIST__=${target}0`,
      ...sanitizers[variant],
    ]);
  }

  translated({ ptx }: Front, variant: Variant, mutants: readonly Mutant[]): Promise<string> {
    const code = translate(readFileSync(ptx, "utf8"), basename(ptx), root, mutants);
    // What a register is for is not known there: many values are never used. Lines alone for the
    // debugger: following thousands of variables takes g++ minutes and gigabytes, and so does
    // optimising what AddressSanitizer adds.
    const sanitizer = sanitizers[variant].filter((flag) => !flag.startsWith("-O"));
    const optimise = variant === "address" ? "-O0" : "-O2";
    const flags = ["-std=c++20", "-fPIC", "-g1", "-w", optimise, "-I", here, ...sanitizer];
    return this.#object(
      ptx.replace(/\.ptx$/, ".ptx.cpp"),
      this.#emulatorHeaders + code,
      flags,
      code,
    );
  }

  emulator(source: string, variant: Variant): Promise<string> {
    const defines = sanitizers[variant].filter((flag) => flag.startsWith("-D"));
    const flags = [...standard, "-O2", "-isystem", this.#toolkit, ...defines];
    return this.#object(source, this.#emulatorHeaders + readFileSync(source, "utf8"), flags);
  }

  source(source: string, variant: Variant): Promise<string> {
    const flags = [...standard, "-isystem", this.#toolkit, ...this.#includes()];
    return this.#object(source, this.#headers + readFileSync(source, "utf8"), [
      ...flags,
      ...sanitizers[variant],
    ]);
  }

  async link(objects: readonly string[], variant: Variant): Promise<string> {
    const { output, name, shared } = this.#options;
    const all = [...objects, ...this.#options.objects ?? []];
    const sanitizer = sanitizers[variant].filter((flag) => flag.startsWith("-fsanitize"));
    const made = join(output, `${name}-${variant}-${hashOf(...all)}${shared ? ".so" : ""}`);
    if (existsSync(made)) return made;
    const temporary = `${made}.${process.pid}`;
    const flags = [...sanitizer, ...(shared ? ["-shared", "-Wl,-z,defs"] : []), "-pthread"];
    await call("g++", ["-o", temporary, ...all, ...flags]);
    renameSync(temporary, made);
    return made;
  }

  #includes(): string[] {
    const defines = (this.#options.defines ?? []).map((each) => `-D${each}`);
    return [...this.#options.include.flatMap((folder) => ["-I", folder]), ...defines];
  }

  /** Compiles a source, or `code` in its place; `made` is all that it is made of. */
  async #object(source: string, made: string, flags: readonly string[], code?: string) {
    const key = hashOf(made, flags.join(" "));
    const name = basename(source).replace(/\.cpp$/, "");
    const object = join(this.#options.output, `${name}-${key}.o`);
    if (existsSync(object)) return object;
    const temporary = `${object}.${process.pid}.o`;
    let file = relative(root, source);
    if (code !== undefined) {
      file = `${temporary}.cpp`;
      writeFileSync(file, code);
    }
    await call("g++", [...flags, "-c", file, "-o", temporary]);
    if (code !== undefined) rmSync(file);
    renameSync(temporary, object);
    this.#options.progress?.(`g++ ${basename(object)}`);
    return object;
  }
}

/** The files below a folder whose names end so, in order. */
export function listFiles(folder: string, end: string): string[] {
  const names = readdirSync(folder, { recursive: true }) as string[];
  return names.filter((name) => name.endsWith(end)).sort().map((name) => join(folder, name));
}

function hashOf(...parts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${part.length} `).update(part);
  return hash.digest("hex").slice(0, 16);
}

/** Another process may have been faster: what it made is the same. */
function putInPlace(temporary: string, folder: string): void {
  try {
    renameSync(temporary, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
    rmSync(temporary, { recursive: true, force: true });
  }
}

async function call(command: string, args: readonly string[]): Promise<void> {
  try {
    await run(command, args, { maxBuffer: 1 << 26, cwd: root });
  } catch (cause) {
    const { stderr, stdout } = cause as { stderr?: string; stdout?: string };
    const said = `${stdout ?? ""}${stderr ?? ""}`.trim() || String(cause);
    throw new SpecacheError("device", `Cannot build for the emulated device: ${said}`, { cause });
  }
}

async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array(items.length);
  let next = 0;
  const worker = async () => {
    for (let at = next++; at < items.length; at = next++) results[at] = await work(items[at]);
  };
  // All end before an error is told: a compiler that is still at work would write after it.
  const ended = await Promise.allSettled(Array.from({ length: availableParallelism() }, worker));
  for (const each of ended) if (each.status === "rejected") throw each.reason;
  return results;
}
