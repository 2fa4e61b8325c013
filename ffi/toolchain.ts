// toolchain.ts - finds nvcc, or fetches it with pip into the cache folder (129 MB, NVIDIA's own
// wheels, in exact versions). No CUDA toolkit has to be installed and nothing
// in the environment has to be set.
import { execFile } from "node:child_process";
import { realpath } from "node:fs/promises";
import { delimiter, join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { SpecacheError } from "../engine/errors.ts";
import { cudaArchitectures, type CudaOptions } from "./build.ts";
import { cacheHome } from "./home.ts";
import { exists, fetchWheels } from "./pip.ts";

export const NVCC_RELEASE_MIN = 12;
const ARCHITECTURE_MIN = 75; // older GPUs lack the tensor cores' products

// All five are pinned because nvcc's own requirements are loose; cccl is for cuda_fp16.h.
const WHEELS = [
  "nvidia-cuda-nvcc==13.5.37",
  "nvidia-nvvm==13.5.37",
  "nvidia-cuda-crt==13.5.37",
  "nvidia-cuda-runtime==13.5.37",
  "nvidia-cuda-cccl==13.3.5.0.6",
];
const FOLDER = "nvcc-13.5.37"; // in the cache folder
const RUNTIME = "libcudart_static.a";
const RUNTIME_FOLDERS = ["lib", "lib64", join("targets", "x86_64-linux", "lib")];
const SYSTEM_RUNTIME = "/usr/lib/x86_64-linux-gnu"; // of Debian's package
const NVCC_IN_WHEELS = join("nvidia", "cu13", "bin", "nvcc");

const run = promisify(execFile);

/** The path of an nvcc of this machine or the cache, of release 12 or newer, or null. */
export async function findNvcc(): Promise<string | null> {
  const { CUDA_HOME, CUDA_PATH, PATH } = process.env;
  const candidates = [
    ...[CUDA_HOME, CUDA_PATH].filter(Boolean).map((home) => join(home!, "bin", "nvcc")),
    ...(PATH ?? "").split(delimiter).filter(Boolean).map((folder) => join(folder, "nvcc")),
    "/usr/local/cuda/bin/nvcc",
    join(cacheHome(), FOLDER, NVCC_IN_WHEELS),
  ];
  for (const nvcc of candidates) {
    const release = await exists(nvcc) ? await releaseOf(nvcc) : null;
    if (release !== null && release >= NVCC_RELEASE_MIN) return nvcc;
  }
  return null;
}

/**
 * What build() needs for device cuda: sources beside `native`, an nvcc, the runtime of its toolkit,
 * and the architectures to make code for. Undefined where one of these is missing, and on arm64,
 * where none of it was ever tried.
 *
 * @throws {SpecacheError} argument: CUDAARCHS names what it cannot
 */
export async function findCuda(native: string): Promise<CudaOptions | undefined> {
  if (process.arch !== "x64") return undefined;
  const sources = join(native, "..", "cuda");
  const nvcc = await exists(sources) ? await findNvcc() : null;
  if (nvcc === null) return undefined;
  const home = join(await realpath(nvcc), "..", "..");
  const folders = [...RUNTIME_FOLDERS.map((name) => join(home, name)), SYSTEM_RUNTIME];
  const there = await Promise.all(folders.map((name) => exists(join(name, RUNTIME))));
  const runtime = folders.find((_, i) => there[i]);
  const known = await architecturesOf(nvcc);
  const architectures = chosenArchitectures(known, process.env.CUDAARCHS);
  if (runtime === undefined || architectures.length === 0) return undefined;
  return { nvcc, runtime, sources, architectures };
}

/** What this release makes code for. */
async function architecturesOf(nvcc: string): Promise<ReadonlySet<string>> {
  const { stdout } = await run(nvcc, ["--list-gpu-arch"]);
  return new Set(stdout.match(/(?<=compute_)\d+/g));
}

/**
 * The usual architectures of those known, or those that CUDAARCHS names in their place, by numbers
 * as CMake's: "90", "80;120".
 *
 * @throws {SpecacheError} argument: it names none, or what nvcc or specache does not know
 */
function chosenArchitectures(known: ReadonlySet<string>, names: string | undefined): string[] {
  if (names === undefined || names === "") {
    return cudaArchitectures.filter((each) => known.has(each));
  }
  const chosen = [...new Set(names.split(";"))].sort((a, b) => Number(a) - Number(b));
  const strange = chosen.find((each) => !known.has(each) || Number(each) < ARCHITECTURE_MIN);
  if (strange === undefined) return chosen;
  const able = [...known].filter((each) => Number(each) >= ARCHITECTURE_MIN).join(", ");
  throw new SpecacheError(
    "argument",
    `Cannot build device cuda: "${strange}" of CUDAARCHS=${names} is none of ${able}`,
    { details: { name: "CUDAARCHS" } },
  );
}

/**
 * The path of an nvcc; fetches one where none is found. Two processes may do so at once.
 *
 * @throws {SpecacheError} file: pip is missing or fetches nothing; device: what it fetched does
 * not run
 */
export async function fetchNvcc(): Promise<string> {
  const found = await findNvcc();
  if (found !== null) return found;
  const what = { what: "nvcc", wheels: WHEELS, folder: FOLDER, proof: NVCC_IN_WHEELS };
  await fetchWheels(what);
  const nvcc = join(cacheHome(), FOLDER, NVCC_IN_WHEELS);
  const release = await releaseOf(nvcc);
  if (release === null) {
    throw new SpecacheError("device", `Cannot fetch nvcc: ${nvcc} does not run`, {
      details: { nvcc },
    });
  }
  return nvcc;
}

async function releaseOf(nvcc: string): Promise<number | null> {
  try {
    const { stdout } = await run(nvcc, ["--version"]);
    const release = stdout.match(/release (\d+)\./)?.[1];
    return release === undefined ? null : Number(release);
  } catch {
    return null; // of another machine, or broken: the next one may do
  }
}
