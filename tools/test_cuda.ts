// test_cuda.ts - builds CUDA code for the emulated device and runs its tests: right-working ones
// under every variant and schedule, and seeded faults, each of which has to be caught by the
// variants that it names, while the same code without the mistake stays silent. Words choose tests
// by name or file. nvcc is fetched where there is none; a GPU is not needed. --plain: without the
// sanitizers and faults, which is quicker to build. --sanitize: the product's kernels under
// the sanitizers too, not the emulator's tests alone.
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { buildProgram, listFiles, type Variant } from "../cuda/emulator/build.ts";
import { buildEmulated, kernelSources, nativeObjects } from "../cuda/emulator/library.ts";
import { SpecacheError } from "../engine/errors.ts";
import { benchCases, runBenchCase } from "../cuda/tests/bench.ts";
import { fetchNvcc } from "../ffi/toolchain.ts";

interface Setting {
  readonly variant: Variant;
  readonly schedule: "eager" | "lazy" | "random";
  readonly seed: number;
}
interface Ended {
  readonly status: number;
  readonly output: string;
}
interface Counts {
  passed: number;
  failed: number;
}
interface Fault {
  readonly name: string;
  readonly caughtBy: readonly string[];
  readonly says: RegExp;
}

const variants: readonly Variant[] = ["plain", "address", "thread"];
const settings: readonly Setting[] = [
  { variant: "plain", schedule: "eager", seed: 1 },
  { variant: "address", schedule: "lazy", seed: 2 },
  { variant: "thread", schedule: "random", seed: 3 },
  { variant: "thread", schedule: "random", seed: 4 },
];
// Lazily, so that what is not waited for has not happened; ThreadSanitizer needs no such luck.
const faultSettings: readonly Setting[] = [
  { variant: "plain", schedule: "lazy", seed: 1 },
  { variant: "address", schedule: "lazy", seed: 2 },
  { variant: "thread", schedule: "random", seed: 3 },
];
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const tests = join(root, "cuda", "emulator", "tests");
const nativeTests = join(root, "native", "tests");
const engineTests = join(root, "cuda", "tests", "engine");

function settingName({ variant, schedule, seed }: Setting): string {
  return `${variant}, ${schedule}, seed ${seed}`;
}

/** Runs a program; a sanitizer's first report ends it with a status above 0. */
function runProgram(
  program: string,
  args: readonly string[],
  setting: Setting,
  more: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const env = {
    ...process.env,
    EMULATOR_SCHEDULE: setting.schedule,
    EMULATOR_SEED: String(setting.seed),
    EMULATOR_MEMORY: "64", // MiB: so little that it has to be given out again
    ...more,
    ASAN_OPTIONS: "detect_leaks=0:color=never",
    TSAN_OPTIONS: "halt_on_error=1:atexit_sleep_ms=0:color=never",
  };
  return new Promise((resolve) => {
    const child = spawn(program, args, { env });
    const parts: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (data) => parts.push(String(data)));
    }
    child.on("error", (error) => resolve({ status: 1, output: String(error) }));
    child.on("close", (status) => resolve({ status: status ?? 1, output: parts.join("") }));
  });
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>) {
  let next = 0;
  const worker = async () => {
    while (next < items.length) await work(items[next++]);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}

async function runRight(
  name: string,
  programs: readonly string[],
  words: readonly string[],
  counts: Counts,
) {
  await inParallel(settings.filter((_, i) => i === 0 || programs.length > 1), async (setting) => {
    const program = programs[variants.indexOf(setting.variant)];
    const { status, output } = await runProgram(program, words, setting);
    if (output.startsWith("no test has these words")) return; // another program's, or none at all
    const [passed, failed] = output.match(/^(\d+) passed, (\d+) failed$/m)?.slice(1) ?? [0, 1];
    const lost = status !== 0 && Number(failed) === 0 ? 1 : 0;
    counts.passed += Number(passed);
    counts.failed += Number(failed) + lost;
    console.log(
      `${name} (${settingName(setting)}): ${passed} passed, ${Number(failed) + lost} failed`,
    );
    if (status !== 0) console.log(output);
  });
}

/** The engine on the emulated library, as a user loads it. */
async function runEngine(library: string, words: readonly string[], counts: Counts) {
  const filter = words.length === 0 ? [] : [`--filter=/${words.join("|")}/`];
  const args = ["test", "-A", "--no-check", ...filter, engineTests];
  const env = { SPECACHE_LIBRARY: library, NO_COLOR: "1" };
  const { status, output } = await runProgram(process.execPath, args, settings[2], env);
  const [passed, failed] = output.match(/(\d+) passed \| (\d+) failed/)?.slice(1) ?? [0, 1];
  if (/\b0 passed \| 0 failed/.test(output)) return; // no test has these words
  const lost = status !== 0 && Number(failed) === 0 || /[1-9]\d* ignored/.test(output) ? 1 : 0;
  counts.passed += Number(passed);
  counts.failed += Number(failed) + lost;
  console.log(`engine: ${passed} passed, ${Number(failed) + lost} failed`);
  if (status !== 0 || lost !== 0) console.log(output);
}

async function runBench(program: string, words: readonly string[], counts: Counts) {
  const cases = benchCases.filter(({ name }) =>
    words.length === 0 || words.some((word) => name.includes(word))
  );
  await inParallel(cases, async (each) => {
    const problems = await runBenchCase(program, each);
    counts[problems.length === 0 ? "passed" : "failed"]++;
    for (const problem of problems) console.log(`FAILED ${each.name}: ${problem}`);
  });
  console.log(`bench: ${cases.length} ran`);
}

async function runFaults(programs: readonly string[], words: readonly string[], counts: Counts) {
  const listed = await runProgram(programs[0], [], faultSettings[0]);
  const faults: Fault[] = listed.output.trim().split("\n").map((line) => {
    const [name, caughtBy, says] = line.split("\t");
    return { name, caughtBy: caughtBy.split(" ").filter(Boolean), says: new RegExp(says) };
  }).filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)));
  await inParallel(faults, async (fault) => {
    const ended = await Promise.all(
      faultSettings.map((setting) =>
        runProgram(programs[variants.indexOf(setting.variant)], [fault.name], setting)
      ),
    );
    const problems = ended.flatMap((each, i) => problemsOf(fault, each, faultSettings[i].variant));
    const caught = faultSettings.filter((_, i) => ended[i].status !== 0);
    const by = caught.map(({ variant }) => variant).join(", ");
    counts[problems.length === 0 ? "passed" : "failed"]++;
    const verdict = problems.length === 0 ? "" : "FAILED ";
    console.log(`${verdict}${fault.name}: ${by === "" ? "silent" : `caught by ${by}`}`);
    for (const problem of problems) console.log(problem);
  });
}

/** What is amiss with one run of a fault. Other variants than those it names may catch it too. */
function problemsOf({ caughtBy, says }: Fault, ended: Ended, variant: Variant): string[] {
  const told = ended.output.split("\n").slice(0, 30).join("\n");
  if (caughtBy.length === 0) {
    return ended.status === 0 ? [] : [`${variant} is not silent: ${told}`];
  }
  if (caughtBy.includes(variant) && ended.status === 0) return [`${variant} does not catch it`];
  const right = ended.status === 0 || says.test(ended.output);
  return right ? [] : [`${variant} says nothing of ${says}: ${told}`];
}

/** Builds, runs what holds one of the words, prints the counts; whether all that ran passed. */
export async function testCuda(args: readonly string[]): Promise<boolean> {
  const words = args.filter((word) => !word.startsWith("--"));
  const wanted: readonly Variant[] = args.includes("--plain") ? ["plain"] : variants;
  const nvcc = await fetchNvcc();
  const build = (
    name: string,
    sources: readonly string[],
    include: readonly string[],
    variants: readonly Variant[] = wanted,
    objects: readonly string[] = [],
  ) =>
    buildProgram({
      nvcc,
      name,
      sources,
      include,
      output: join(root, "build", "cuda"),
      variants,
      objects,
      defines: ["SPECACHE_CUDA", 'SPECACHE_NEAR="../../cuda/tests/near.h"'],
    });
  const own = kernelSources();
  const begun = Date.now();
  const main = join(nativeTests, "main.cpp");
  const emulator = [tests, nativeTests];
  const right = await build("right", [...listFiles(tests, "_test.cu"), main], emulator);
  const faults = await build("faults", [
    ...listFiles(tests, "_fault.cu"),
    ...listFiles(tests, "faults.cpp"),
  ], emulator);
  const kernels = await build(
    "kernels",
    [
      ...own,
      ...listFiles(join(root, "cuda", "tests"), "_test.cpp"),
      join(root, "native", "devices.cpp"),
      main,
    ],
    [join(root, "cuda"), join(root, "native")],
    args.includes("--sanitize") ? wanted : ["plain"],
    await nativeObjects(),
  );
  const [bench] = await build(
    "bench",
    [
      ...own,
      ...[".cu", ".cpp"].flatMap((end) => listFiles(join(root, "cuda", "bench"), end)),
      join(root, "native", "devices.cpp"),
    ],
    [join(root, "cuda"), join(root, "native")],
    ["plain"],
    await nativeObjects(),
  );
  const library = await buildEmulated(nvcc);
  console.log(`built in ${((Date.now() - begun) / 1000).toFixed(1)} s`);
  const counts: Counts = { passed: 0, failed: 0 };
  await runRight("emulator", right, words, counts);
  await Promise.all([
    runRight("kernels", kernels, words, counts),
    runEngine(library, words, counts),
    runBench(bench, words, counts),
  ]);
  if (wanted.length > 1) await runFaults(faults, words, counts);
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  return counts.failed === 0 && counts.passed > 0;
}

if (import.meta.main) {
  try {
    process.exitCode = await testCuda(process.argv.slice(2)) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof SpecacheError)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
}
