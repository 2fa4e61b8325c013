// compile.ts - compiles the product's .cu files to cubins with what ptxas says of them. Results are
// kept in build/budgets by a hash of all that made them and renamed into place.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { listFiles } from "../../cuda/emulator/build.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { kernelFlags } from "../../ffi/build.ts";

const run = promisify(execFile);
const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");
const output = join(root, "build", "budgets");
// As the product's kernels are compiled, with ptxas' report and without the host's part.
const flags = [...kernelFlags, "-Xptxas", "-v", "-cubin"];

/** One .cu file for one target. */
export interface Compiled {
  /** From the repository's root. */
  readonly source: string;
  /** As in sm_`target`. */
  readonly target: number;
  readonly cubin: Uint8Array;
  /** What ptxas said. */
  readonly log: string;
}

/** The .cu files of the product, in order. */
export function kernelSources(): string[] {
  return listFiles(join(root, "cuda"), ".cu").filter((path) =>
    !/[/\\](bench|emulator|tests)[/\\]/.test(relative(root, path))
  );
}

/** The kernels whose code is known beforehand. */
export const controlSource = join(here, "control.cu");

/** Text of the product's .cu files and of the headers beside them. */
export function kernelTexts(): { sources: ReadonlyMap<string, string>; headers: string[] } {
  const sources = new Map(
    kernelSources().map((path) => [relative(root, path), readFileSync(path, "utf8")]),
  );
  const headers = [".h", ".cuh"].flatMap((end) => listFiles(join(root, "cuda"), end))
    .filter((path) => !/[/\\](bench|emulator|tests)[/\\]/.test(relative(root, path)))
    .map((path) => readFileSync(path, "utf8"));
  return { sources, headers };
}

/**
 * Compiles all product sources and control.cu for each target, one process a processor.
 *
 * @throws {SpecacheError} device: nvcc failed
 */
export async function compileAll(nvcc: string, targets: readonly number[]): Promise<Compiled[]> {
  mkdirSync(output, { recursive: true });
  const headers = ["cuda", "native"].flatMap((folder) =>
    [".h", ".cuh"].flatMap((end) => listFiles(join(root, folder), end))
  ).map((path) => readFileSync(path, "utf8"));
  const common = [nvcc, ...flags, ...headers];
  const works = targets.flatMap((target) =>
    [controlSource, ...kernelSources()].map((source) => ({ source, target }))
  );
  const made: Compiled[] = new Array(works.length);
  let next = 0;
  const worker = async () => {
    for (let at = next++; at < works.length; at = next++) {
      made[at] = await compile(nvcc, works[at].source, works[at].target, common);
    }
  };
  // All end before an error is told: a compiler that is still at work would write after it.
  const ended = await Promise.allSettled(Array.from({ length: availableParallelism() }, worker));
  for (const each of ended) if (each.status === "rejected") throw each.reason;
  return made;
}

async function compile(
  nvcc: string,
  source: string,
  target: number,
  common: readonly string[],
): Promise<Compiled> {
  const path = relative(root, source);
  const name = basename(source, ".cu");
  const key = hashOf(...common, path, readFileSync(source, "utf8"));
  const folder = join(output, `${name}-${target}-${key}`);
  if (!existsSync(folder)) {
    const temporary = mkdtempSync(`${folder}.`);
    const cubin = join(temporary, "cubin");
    const log = await callNvcc(nvcc, [...flags, `-arch=sm_${target}`, path, "-o", cubin], path);
    writeFileSync(join(temporary, "log"), log);
    putInPlace(temporary, folder);
  }
  return {
    ...{ source: path, target },
    cubin: readFileSync(join(folder, "cubin")),
    log: readFileSync(join(folder, "log"), "utf8"),
  };
}

async function callNvcc(nvcc: string, args: readonly string[], path: string): Promise<string> {
  try {
    const { stdout, stderr } = await run(nvcc, args, { maxBuffer: 1 << 26, cwd: root });
    return stdout + stderr;
  } catch (cause) {
    const { stderr, stdout } = cause as { stderr?: string; stdout?: string };
    const said = `${stdout ?? ""}${stderr ?? ""}`.trim() || String(cause);
    throw new SpecacheError("device", `Cannot compile ${path}: ${said}`, { cause });
  }
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

function hashOf(...parts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${part.length} `).update(part);
  return hash.digest("hex").slice(0, 16);
}
