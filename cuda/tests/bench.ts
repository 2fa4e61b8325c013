// bench.ts - the bench program on the emulated device, at a tiny size: that each part runs, that
// its sums are right, what it writes and what it refuses. No time that it tells means anything.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

interface Ended {
  readonly status: number;
  readonly output: string;
}
interface Case {
  readonly name: string;
  readonly args: readonly string[];
  readonly status: number;
  readonly says: RegExp;
  /** Names of the figures in each line of the file, where there is one. */
  readonly figures?: readonly string[];
}

const tiny = [
  ...["--tokens", "256", "--sequences", "2", "--kv-heads", "1", "--layers", "2"],
  ...["--repetitions", "1", "--steps", "1", "--copied-mib", "0.5", "--far-gib", "0.01"],
];
const part = (name: string, says: RegExp, figures: readonly string[]): Case => ({
  ...{ name: `bench ${name}`, args: [name, ...tiny], status: 0, says, figures },
});
const refused = (args: readonly string[], says: RegExp): Case => ({
  ...{ name: `bench refuses ${args.join(" ") || "no part"}`, args, status: 2, says },
});

/** What is run, each with how it has to end. */
export const benchCases: readonly Case[] = [
  part("check", /f16, 2 x 1 x 97, 3 splits.*right[^]*paper: right/, ["tokens", "off"]),
  part("card", /EMULATED/, ["read_gb_s", "copy_gb_s", "to_card_gb_s", "from_card_gb_s"]),
  part("kernels", /all three/, ["us", "bytes", "gb_s", "of_read", "of_dense"]),
  part("fetch", /gathered.*% hidden/, ["sequences"]),
  part("step", /paper, read.*prefetched/, ["ms", "late_rows_a_head", "of_dense_kernels"]),
  {
    ...{ name: "bench tells what it has no time for", args: ["step", ...tiny, "--seconds", "0"] },
    ...{ status: 0, says: /256 tokens, {2}2 sequences: not measured: out of time/ },
    figures: ["tokens"],
  },
  refused([], /^Cannot bench: no part is named/),
  refused(["all"], /^Cannot bench: part all is none of/),
  refused(["card", "--tokens", "8k"], /^Cannot bench: --tokens 8k is not a number/),
  refused(["card", "--tokens", "8192,64"], /^Cannot bench: --tokens 64 is outside 192\.\./),
  refused(["card", "--steps"], /^Cannot bench: --steps is given no value/),
  refused(["card", "--warp", "9"], /^Cannot bench: option --warp is not known/),
];

function run(program: string, args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { env: { ...process.env, EMULATOR_MEMORY: "64" } });
    const parts: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (data) => parts.push(String(data)));
    }
    child.on("error", (error) => resolve({ status: 1, output: String(error) }));
    child.on("close", (status) => resolve({ status: status ?? 1, output: parts.join("") }));
  });
}

function figuresAmiss(path: string, wanted: readonly string[]): string[] {
  const lines = readFileSync(path, "utf8").trim().split("\n");
  return lines.flatMap((line) => {
    const figures = JSON.parse(line);
    const missing = wanted.filter((name) => !Number.isFinite(figures[name]));
    const problems = missing.map((name) => `${line} has no number ${name}`);
    return figures.emulated === true ? problems : [...problems, `${line} is not marked`];
  });
}

/** Runs a case of the program; what is amiss with it. */
export async function runBenchCase(program: string, each: Case): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "specache-bench-"));
  try {
    const path = join(folder, "figures");
    const more = each.figures === undefined ? [] : ["--json", path];
    const { status, output } = await run(program, [...each.args, ...more]);
    const right = status === each.status && each.says.test(output);
    if (!right) return [`status ${status}: ${output}`];
    return each.figures === undefined ? [] : figuresAmiss(path, each.figures);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
