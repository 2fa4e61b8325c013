// compiler.ts - finds a C++ compiler and runs its commands, as many at a time as there are cores.
// All of it is synchronous, because opening a library is; a shell runs the commands side by side.
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import process from "node:process";
import { SpecacheError } from "../engine/errors.ts";

/** A compiler and the text that tells its version. */
export interface Compiler {
  readonly path: string;
  readonly version: string;
}

/** Commands of one file; all of them run, or the build fails. */
export interface Job {
  readonly commands: readonly (readonly string[])[];
  /** How long it takes, in any unit. */
  readonly weight: number;
}

const OUTPUT_LINES = 40; // of a failed build, in the error
const OUTPUT_BYTES_MAX = 64 << 20;

/** $CXX, else g++, else clang++; throws a SpecacheError (unsupported) where there is none. */
export function findCompiler(): Compiler {
  const candidates = process.env.CXX ? [process.env.CXX] : ["g++", "clang++"];
  for (const path of candidates) {
    const { status, stdout } = spawnSync(path, ["--version"], { encoding: "utf8" });
    if (status === 0) return { path, version: stdout };
  }
  throw new SpecacheError(
    "unsupported",
    `Cannot build libspecache: ${candidates.join(" and ")} cannot be run; install a C++20 ` +
      "compiler (apt-get install g++, dnf install gcc-c++, apk add g++) or set CXX",
    { details: { candidates } },
  );
}

/** Runs all jobs in `folder`; throws a SpecacheError (unsupported) with the compiler's output. */
export function runJobs(folder: string, jobs: readonly Job[]): void {
  const lanes = spread(jobs, Math.min(availableParallelism(), jobs.length));
  const script = lanes.map((lane) => {
    const commands = lane.flatMap((job) => job.commands).map((words) => words.map(quote).join(" "));
    return `( ${commands.join(" && ")} ) & lanes="$lanes $!"`;
  });
  script.push('failed=0; for lane in $lanes; do wait "$lane" || failed=1; done; exit $failed');
  const { status, stderr, error } = spawnSync("/bin/sh", ["-s"], {
    cwd: folder,
    input: Buffer.from(script.join("\n")),
    encoding: "utf8",
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  if (status === 0) return;
  const lines = (error?.message ?? stderr).trimEnd().split("\n");
  throw new SpecacheError(
    "unsupported",
    `Cannot build libspecache: the compiler failed\n${lines.slice(0, OUTPUT_LINES).join("\n")}`,
    { cause: error, details: { status, output: stderr } },
  );
}

// The longest jobs first, each to the lane with the least work.
function spread(jobs: readonly Job[], count: number): Job[][] {
  const lanes = Array.from({ length: count }, () => ({ jobs: [] as Job[], weight: 0 }));
  for (const job of [...jobs].sort((a, b) => b.weight - a.weight)) {
    const lane = lanes.reduce((least, each) => each.weight < least.weight ? each : least);
    lane.jobs.push(job);
    lane.weight += job.weight;
  }
  return lanes.map((lane) => lane.jobs);
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
