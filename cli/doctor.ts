// doctor.ts - `specache doctor`: what the machine has, what is amiss, and what to do about it.
import { availableParallelism } from "node:os";
import process from "node:process";
import { SpecacheError } from "../engine/errors.ts";
import { refusedAs } from "../engine/system.ts";
import { findCompiler } from "../ffi/compiler.ts";
import { cacheHome } from "../ffi/home.ts";
import { type Library, sharedLibrary } from "../ffi/library.ts";
import { findNvcc } from "../ffi/toolchain.ts";
import { askCuda, type CudaAnswer, hasGpu, meaningOf, ramOf, runtimeOf } from "./doctor/machine.ts";
import { measureCalls, measureDisk, measureMemory } from "./doctor/measure.ts";
import { type Findings, type Problem, problemsOf } from "./doctor/report.ts";
import { ensureLibrary } from "./library.ts";
import { readFlags } from "./options.ts";
import { bytesText, type Streams, type Terminal } from "./output.ts";

const flag = { type: "boolean" } as const;

/** Flags of the command. */
export const doctorFlags = { json: flag, help: flag, verbose: flag } as const;

/** Help of the command. */
export const doctorHelp = `specache doctor - what this machine has, what is amiss, what to do

  --json                 prints one object
  --verbose  --help

  specache doctor
  specache doctor --json

Builds the library where there is none. Measures for about a second: memory, the disk of the cache
folder (a file of 64 MiB, removed again), calls into the library. Exit status 1 where something that
is needed is missing.
`;

/** Runs the command; answers the exit status. */
export async function doctor(
  args: readonly string[],
  { stdout, stderr }: Streams,
): Promise<number> {
  const flags = readFlags("look at this machine", args, doctorFlags);
  if (flags.help) {
    stdout.write(doctorHelp);
    return 0;
  }
  const found = await findings(stderr);
  const problems = problemsOf(found);
  const ok = !problems.some(({ needed }) => needed);
  stdout.write(flags.json ? jsonOf(found, problems, ok) : text(found, problems));
  return ok ? 0 : 1;
}

async function findings(stderr: Terminal): Promise<Findings> {
  const compiler = await findCompiler();
  const library = await libraryOf(stderr);
  const { isa, threads } = library instanceof SpecacheError
    ? { isa: null, threads: null }
    : { isa: isaOf(library), threads: library.symbols.specache_threads() };
  const ram = ramOf();
  return {
    runtime: runtimeOf(),
    platform: `${process.platform} ${process.arch}`,
    compiler,
    library: library instanceof SpecacheError
      ? { path: null, error: library.message.split("\n")[0] }
      : { path: library.path, error: null },
    isa,
    threads,
    nvcc: await findNvcc(),
    gpu: hasGpu(),
    cuda: library instanceof SpecacheError ? null : askCuda(),
    ram,
    memoryBytesPerSecond: await measureMemory(
      threads ?? availableParallelism(),
      ram.availableBytes,
    ),
    cache: await cacheOf(),
    calls: library instanceof SpecacheError ? null : measureCalls(library),
  };
}

async function libraryOf(stderr: Terminal): Promise<Library | SpecacheError> {
  try {
    await ensureLibrary(stderr);
    return sharedLibrary();
  } catch (error) {
    if (error instanceof SpecacheError) return error;
    throw error;
  }
}

// As specache_isa() counts them.
const ISAS = ["none", "reference", "portable", "avx2", "avx512", "neon", "amx"];
const isaOf = ({ symbols }: Library) => ISAS[symbols.specache_isa()] ?? "unknown";

async function cacheOf(): Promise<Findings["cache"]> {
  const folder = cacheHome();
  try {
    return { folder, disk: await measureDisk(folder), error: null };
  } catch (error) {
    return { folder, disk: null, error: `it ${refusedAs(error, "written")}` };
  }
}

function jsonOf(found: Findings, problems: readonly Problem[], ok: boolean): string {
  const { cuda } = found;
  const meaning = cuda?.code ? meaningOf(cuda.code).meaning : null;
  return JSON.stringify({ ok, ...found, cuda: cuda && { ...cuda, meaning }, problems }) + "\n";
}

function text(found: Findings, problems: readonly Problem[]): string {
  const { runtime, platform, compiler, library, isa, threads, ram, cache, calls } = found;
  const { disk } = cache;
  const rows: [string, string][] = [
    ["runtime", `${runtime.name} ${runtime.version}, ${platform}`],
    ["C++ compiler", compiler === null ? "none" : `${compiler.path}: ${compiler.version}`],
    ["library", library.path ?? "none"],
    ["instruction set", isa ?? "unknown"],
    ["threads", `${threads ?? "unknown"}`],
    [
      "nvcc",
      found.nvcc ?? 'none; only device cuda needs it ("specache toolchain nvcc" fetches it)',
    ],
    ["device cuda", cudaText(found.cuda)],
    ["RAM", `${bytesText(ram.totalBytes)}, ${bytesText(ram.availableBytes)} available`],
    ["memory", `${rateText(found.memoryBytesPerSecond)} read and written, all threads copying`],
    ["cache folder", cache.folder],
    ["its disk", disk === null ? "unknown" : `${bytesText(disk.freeBytes)} free`],
    ["its reads", diskText(disk && disk.readBytesPerSecond)],
    ["a call", calls === null ? "unknown" : callsText(calls)],
  ];
  const lines = rows.map(([name, value]) => `${name.padEnd(17)}${value}`);
  const said = problems.map(({ needed, sentence, todo }) => {
    return `${needed ? "Missing" : "Note"}: ${sentence}\n  do: ${todo}`;
  });
  const end = problems.length === 0 ? ["Nothing is amiss."] : said;
  return [...lines, "", ...end, ""].join("\n");
}

function diskText(bytes: number | null): string {
  return bytes === null
    ? "not measured: it has no reads past the page cache"
    : `${rateText(bytes)}, a new file, past the page cache`;
}

function rateText(bytes: number | null): string {
  return bytes === null ? "not measured" : `${bytesText(bytes)}/s`;
}

function callsText({ call, bufferCall }: NonNullable<Findings["calls"]>): string {
  return `${call.toFixed(0)} ns, with a buffer ${bufferCall.toFixed(0)} ns`;
}

function cudaText(cuda: CudaAnswer | null): string {
  if (cuda === null) return "unknown";
  if (cuda.gpu !== null) return cuda.gpu;
  if (!cuda.built) return "not in this library: --device cuda builds it, where nvcc is found";
  if (cuda.code === null) return cuda.message ?? "does not open";
  return `answers ${cuda.code} ${cuda.name}: ${meaningOf(cuda.code).meaning}`;
}
