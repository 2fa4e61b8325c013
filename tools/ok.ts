// ok.ts - the gate: every check in order, each timed; the last line counts what passed and failed.
// A step that is no test runner counts as one test. Nothing may be skipped silently: a skipped test
// counts as failed. Compilers and the emulated device take what the runtimes' tests leave of the
// cores, which is nearly half: those that are `beside` run in their order beside the steps behind
// them, and where both want a core they wait.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import process from "node:process";

interface Step {
  readonly name: string;
  readonly command: readonly string[];
  /** Where its test counts are: a junit file, or its own last line. */
  readonly junit?: string;
  readonly counts?: boolean;
  /** Whether it runs beside the steps behind it, by what they leave of the cores. */
  readonly beside?: boolean;
}

const reports = "build/reports";
// The least and the last: no source asks for anything between.
const CUDAARCHS = "75;120";
const steps: readonly Step[] = [
  { name: "fmt", command: ["deno", "fmt", "--check", "--quiet"] },
  { name: "lint", command: ["deno", "lint", "--quiet"] },
  { name: "check", command: ["deno", "check", "--quiet", "."] },
  { name: "toolchain", command: ["deno", "task", "--quiet", "toolchain"] }, // device cuda is built
  { name: "build", command: ["deno", "task", "--quiet", "build"] },
  { name: "tidy", command: ["deno", "run", "-A", "tools/tidy.ts"] },
  {
    name: "emulated CUDA",
    command: ["deno", "task", "--quiet", "test:cuda"],
    counts: true,
    beside: true,
  },
  {
    name: "budgets", // of one target: all three take three times as long
    command: ["deno", "task", "--quiet", "budgets", "--target", "90"],
    beside: true,
  },
  { name: "native tests", command: ["deno", "task", "--quiet", "test:native"], counts: true },
  {
    name: "deno tests",
    command: [
      ...["deno", "test", "-A", "--no-check", "--quiet", "--ignore=tests/long"],
      ...[`--junit-path=${reports}/deno.xml`, "tests"],
    ],
    junit: `${reports}/deno.xml`,
  },
  {
    name: "bun tests",
    command: ["deno", "run", "-A", "tools/test_bun.ts", `${reports}/bun.xml`],
    junit: `${reports}/bun.xml`,
  },
  {
    name: "doc lint",
    command: ["deno", "doc", "--lint", "mod.ts", "routes/app.ts", "edge/remote.ts", "main.ts"],
  },
  { name: "publish", command: ["deno", "publish", "--dry-run", "--allow-dirty", "--quiet"] },
];

interface Counts {
  readonly passed: number;
  readonly failed: number;
}

async function runStep(step: Step): Promise<Counts> {
  const started = Date.now();
  const { status, output } = await run([
    ...step.beside ? ["nice", "-n", "19"] : [],
    ...step.command,
  ]);
  const counts = countsOf(step, output, status === 0);
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  console.log(`${step.name}: ${counts.passed} passed, ${counts.failed} failed (${seconds} s)`);
  if (counts.failed > 0) console.log(output.split("\n").slice(-120).join("\n"));
  return counts;
}

function run([command, ...args]: string[]): Promise<{ status: number | null; output: string }> {
  return new Promise((resolve) => {
    const env = { NO_COLOR: "1", CUDAARCHS, ...process.env };
    const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    const parts: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (part: string) => parts.push(part));
    }
    child.on("error", (error) => resolve({ status: null, output: String(error) }));
    child.on("close", (status) => resolve({ status, output: parts.join("") }));
  });
}

function countsOf(step: Step, output: string, ended: boolean): Counts {
  const failure = ended ? 0 : 1;
  if (step.junit !== undefined) {
    const counts = junitCounts(step.junit);
    return { passed: counts.passed, failed: Math.max(counts.failed, failure) };
  }
  const line = step.counts ? output.match(/^(\d+) passed, (\d+) failed$/m) : null;
  if (line === null) return { passed: ended ? 1 : 0, failed: failure };
  return { passed: Number(line[1]), failed: Math.max(Number(line[2]), failure) };
}

// Deno and Bun write one <testcase> a test, with <failure>, <error> or <skipped> inside.
function junitCounts(path: string): Counts {
  let report: string;
  try {
    report = readFileSync(path, "utf8");
  } catch {
    return { passed: 0, failed: 1 };
  }
  const tests = report.match(/<testcase\b/g)?.length ?? 0;
  const failed = report.match(/<(failure|error|skipped)\b/g)?.length ?? 0;
  return { passed: tests - failed, failed };
}

rmSync(reports, { recursive: true, force: true });
mkdirSync(reports, { recursive: true });
const all: Counts[] = [];
let beside = Promise.resolve();
for (const step of steps) {
  const ran = async () => void all.push(await runStep(step));
  if (step.beside) beside = beside.then(ran);
  else await ran();
}
await beside;
const sum = (name: keyof Counts) => all.reduce((total, counts) => total + counts[name], 0);
console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
process.exitCode = sum("failed") === 0 ? 0 : 1;
