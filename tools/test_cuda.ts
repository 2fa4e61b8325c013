// test_cuda.ts - builds CUDA code for the emulated device and runs its tests: right-working ones
// under every variant and schedule, seeded faults, each of which has to be caught by the
// variants that it names, while the same code without the mistake stays silent. Words choose tests
// by name or file. nvcc is fetched where there is none; a GPU is not needed. --plain: without the
// sanitizers and faults, which is quicker to build. --sanitize: the product's kernels under
// the sanitizers too, not the emulator's tests alone.
import { join } from "node:path";
import process from "node:process";
import type { Program, Variant } from "../cuda/emulator/build.ts";
import { benchCases, runBenchCase } from "../cuda/tests/bench.ts";
import { SpecacheError } from "../engine/errors.ts";
import { fetchNvcc } from "../ffi/toolchain.ts";
import {
  buildBench,
  buildFaults,
  buildKernels,
  buildKernels75,
  buildLibrary,
  buildRight,
  type Ended,
  inParallel,
  root,
  runProgram,
  type Setting,
} from "./cuda_programs.ts";
import { chooseMutants, describe, rateOf, runMutants } from "./test_cuda_mutants.ts";

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
// What waits for what on two streams and in fetches shows by chance alone where order is random.
const orderedTests = ["store_test", "recording_test", "fetch_test"];
const orderedSetting: Setting = { variant: "plain", schedule: "random", seed: 3 };
// Kernels whose products differ on architecture 75, which has fewer.
const productKernels = ["scan", "attend", "project", "prefill"];
// Lazily, so that what is not waited for has not happened; ThreadSanitizer needs no such luck.
const faultSettings: readonly Setting[] = [
  { variant: "plain", schedule: "lazy", seed: 1 },
  { variant: "address", schedule: "lazy", seed: 2 },
  { variant: "thread", schedule: "random", seed: 3 },
];
const engineTests = join(root, "cuda", "tests", "engine");
// Of the mutants in the kernels' program; not so many that the gate becomes slow. By this seed none
// of those that docs/MUTANTS.md explains, so that two may survive when kernels change.
const drawnMutants = { count: 12, seed: 4, survivorsMost: 2 };

function settingName({ variant, schedule, seed }: Setting): string {
  return `${variant}, ${schedule}, seed ${seed}`;
}

async function runRight(
  name: string,
  programs: readonly string[],
  words: readonly string[],
  counts: Counts,
) {
  const runs = settings.filter((_, i) => i === 0 || programs.length > 1);
  await runSettings(name, programs, runs, words, counts);
}

async function runSettings(
  name: string,
  programs: readonly string[],
  runs: readonly Setting[],
  words: readonly string[],
  counts: Counts,
) {
  await inParallel(runs, async (setting) => {
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

/** The kernels and the store; in the gate what overlaps once more, in another order. */
async function runKernels(programs: readonly string[], words: readonly string[], counts: Counts) {
  await runRight("kernels", programs, words, counts);
  if (words.length > 0) return;
  await runSettings("kernels", programs, [orderedSetting], orderedTests, counts);
}

/** The kernels from PTX of architecture 75. */
async function runKernels75(program: string, words: readonly string[], counts: Counts) {
  const chosen = words.length === 0 ? productKernels.map((name) => `${name}_test`) : words;
  await runSettings("kernels of 75", [program], [orderedSetting], chosen, counts);
}

/** The engine on the emulated library, as a user loads it. */
async function runEngine(library: string, words: readonly string[], counts: Counts) {
  const filter = words.length === 0 ? [] : [`--filter=/${words.join("|")}/`];
  const args = ["test", "-A", "--no-check", ...filter, engineTests];
  const environment = { SPECACHE_LIBRARY: library, NO_COLOR: "1" };
  const ended = await runProgram(process.execPath, args, { ...settings[2], environment });
  const { status, output } = ended;
  if (/\b0 passed \| 0 failed/.test(output)) return; // no test has these words
  const [passed, failed] = output.match(/(\d+) passed \| (\d+) failed/)?.slice(1) ?? [0, 1];
  const lost = status !== 0 && Number(failed) === 0 || /[1-9]\d* ignored/.test(output) ? 1 : 0;
  counts.passed += Number(passed);
  counts.failed += Number(failed) + lost;
  console.log(`engine: ${passed} passed, ${Number(failed) + lost} failed`);
  if (status !== 0 || lost !== 0) console.log(output);
}

/** The bench program of device cuda at a tiny size: that it runs, not how fast. */
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

/** Some mutants of the kernels, which together are one test: hardly any may pass unnoticed. */
async function runDrawnMutants({ programs, mutants }: Program, counts: Counts) {
  const begun = Date.now();
  const { count, seed, survivorsMost } = drawnMutants;
  const outcomes = await runMutants(programs[0], chooseMutants(mutants, count, seed), 1);
  const { reached, killed } = rateOf(outcomes);
  const failed = reached - killed > survivorsMost;
  counts[failed ? "failed" : "passed"]++;
  console.log(
    `${failed ? "FAILED " : ""}mutants: ${killed} of ${outcomes.length} killed, ` +
      `${outcomes.length - reached} not reached (${((Date.now() - begun) / 1000).toFixed(1)} s)`,
  );
  for (const outcome of outcomes) if (!outcome.killed) console.log(describe(outcome));
}

/** Builds, runs what holds one of the words, prints the counts; whether all that ran passed. */
export async function testCuda(args: readonly string[]): Promise<boolean> {
  const words = args.filter((word) => !word.startsWith("--"));
  const wanted: readonly Variant[] = args.includes("--plain") ? ["plain"] : variants;
  const nvcc = await fetchNvcc();
  const begun = Date.now();
  const right = await buildRight(nvcc, wanted);
  const faults = await buildFaults(nvcc, wanted);
  const kernels = await buildKernels(nvcc, args.includes("--sanitize") ? wanted : ["plain"]);
  const kernels75 = await buildKernels75(nvcc, productKernels);
  const bench = await buildBench(nvcc);
  const library = await buildLibrary(nvcc);
  console.log(`built in ${((Date.now() - begun) / 1000).toFixed(1)} s`);
  const counts: Counts = { passed: 0, failed: 0 };
  await runRight("emulator", right.programs, words, counts);
  await Promise.all([
    runKernels(kernels.programs, words, counts),
    runKernels75(kernels75, words, counts),
    runEngine(library, words, counts),
    runBench(bench, words, counts),
  ]);
  if (wanted.length > 1) await runFaults(faults.programs, words, counts);
  if (words.length === 0) await runDrawnMutants(kernels, counts);
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
