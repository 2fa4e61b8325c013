// report.ts - what the doctor found, and what follows from it.
import process from "node:process";
import { type Compiler, compilerAdvice } from "../../ffi/compiler.ts";
import { type CudaAnswer, meaningOf, type Ram, type Runtime } from "./machine.ts";
import type { CallCost, Disk } from "./measure.ts";

/** What was found; null is what could not be found out. */
export interface Findings {
  readonly runtime: Runtime;
  readonly platform: string;
  readonly compiler: Compiler | null;
  /** File of the library, or why there is none. */
  readonly library: { readonly path: string | null; readonly error: string | null };
  readonly isa: string | null;
  readonly threads: number | null;
  /** Path of an nvcc, or null. */
  readonly nvcc: string | null;
  /** Whether a driver shows a GPU. */
  readonly gpu: boolean;
  /** What the library's device cuda answers. */
  readonly cuda: CudaAnswer | null;
  readonly ram: Ram;
  /** Bytes that all threads read and write in a second. */
  readonly memoryBytesPerSecond: number | null;
  readonly cache: {
    readonly folder: string;
    readonly disk: Disk | null;
    readonly error: string | null;
  };
  readonly calls: CallCost | null;
}

/** Something amiss. */
export interface Problem {
  /** Whether nothing works without it. */
  readonly needed: boolean;
  readonly sentence: string;
  readonly todo: string;
}

const LEAST: Readonly<Record<Runtime["name"], readonly [major: number, minor: number]>> = {
  deno: [2, 0],
  bun: [1, 3],
};
const RAM_LEAST = 2 ** 30; // a small model with a cache of some thousand tokens
const DISK_LEAST = 2 ** 30;

/** What is amiss, and one line each on what to do. */
export function problemsOf(found: Findings): Problem[] {
  return [
    ...runtimeProblems(found),
    ...buildProblems(found),
    ...cudaProblems(found),
    ...memoryProblems(found),
  ];
}

function runtimeProblems({ runtime, platform }: Findings): Problem[] {
  const problems: Problem[] = [];
  const [major, minor] = LEAST[runtime.name];
  const [own, second] = runtime.version.split(".").map(Number);
  if (own < major || own === major && second < minor) {
    problems.push({
      needed: true,
      sentence: `${runtime.name} ${runtime.version} is older than ${major}.${minor}`,
      todo: `${runtime.name} upgrade`,
    });
  }
  if (platform === "linux arm64") {
    problems.push({
      needed: false,
      sentence: "the arm64 kernels were tested under emulation alone, never on a CPU",
      todo: "in a checkout, deno task test:native tests them on this one",
    });
  } else if (platform !== "linux x64") {
    problems.push({
      needed: true,
      sentence: `${platform} is neither linux x64 nor linux arm64: the library is built on these`,
      todo: "use a Linux machine, container or WSL of x86-64 or arm64",
    });
  }
  return problems;
}

function buildProblems({ compiler, library, isa, platform }: Findings): Problem[] {
  const problems: Problem[] = [];
  if (compiler === null) {
    const need = library.path === null ? "" : ", which only the next build of the library needs";
    const sentence = `there is no C++ compiler${need}`;
    problems.push({ needed: library.path === null, sentence, todo: compilerAdvice() });
  }
  if (library.path === null && compiler !== null) {
    problems.push({
      needed: true,
      sentence: `the library does not work: ${library.error}`,
      todo: process.env.SPECACHE_LIBRARY
        ? "unset SPECACHE_LIBRARY, which names the file, or name another"
        : "build it: deno task build in a checkout, else remove the cache's folder build",
    });
  }
  if (isa === "portable") {
    const lacks = platform === "linux arm64" ? "NEON" : "AVX2";
    problems.push({
      needed: false,
      sentence: `this CPU has no ${lacks}: the portable kernels run, several times slower`,
      todo: "in a virtual machine, pass the host's CPU on",
    });
  }
  return problems;
}

// Without a GPU nothing is amiss: the CPU is a device of its own.
function cudaProblems({ cuda, gpu, nvcc }: Findings): Problem[] {
  if (!gpu || cuda === null || cuda.gpu !== null) return [];
  if (!cuda.built) {
    const fetch = nvcc === null ? "specache toolchain nvcc fetches nvcc (129 MB); then " : "";
    const sentence = "there is a GPU, but the library was built without device cuda";
    return [{ needed: false, sentence, todo: `${fetch}--device cuda builds it, some minutes` }];
  }
  if (cuda.code === null) {
    return [{ needed: false, sentence: `${cuda.message}`, todo: "use device cpu" }];
  }
  const { meaning, todo } = meaningOf(cuda.code);
  const sentence = `device cuda answers ${cuda.code} ${cuda.name}: ${meaning}`;
  return [{ needed: false, sentence, todo }];
}

function memoryProblems({ ram, cache }: Findings): Problem[] {
  const problems: Problem[] = [];
  if (ram.availableBytes < RAM_LEAST) {
    problems.push({
      needed: false,
      sentence: "less than 1 GiB of RAM is available",
      todo: "end other programs, or put far memory in a file: --far FILE",
    });
  }
  if (cache.error !== null) {
    problems.push({
      needed: true,
      sentence: `the cache folder cannot be used: ${cache.error}`,
      todo: "name a folder that can be written in SPECACHE_HOME",
    });
  } else if (cache.disk !== null && cache.disk.freeBytes < DISK_LEAST) {
    problems.push({
      needed: false,
      sentence: `less than 1 GiB is free in ${cache.folder}`,
      todo: "specache rm removes models; or name a folder with room in SPECACHE_HOME",
    });
  }
  return problems;
}
