// test_cuda_mutants.ts - whether the tests of the CUDA kernels notice mistakes: mutants of the PTX
// that nvcc made are drawn by a seed and built in, and each is run until a test fails. Options:
// --seed N, --count N (at least so many, over all kernels). Words choose mutants by kernel or
// module, a number one by its id. Survivors are listed; docs/MUTANTS.md tells why they survive.
import { basename, normalize } from "node:path";
import process from "node:process";
import type { Mutant } from "../cuda/emulator/mutants.ts";
import { SpecacheError } from "../engine/errors.ts";
import { randomOf } from "../engine/sampling/race.ts";
import {
  buildKernels,
  inParallel,
  runProgram,
  type Setting,
  usualMutants,
} from "./cuda_programs.ts";
import { fetchNvcc } from "../ffi/toolchain.ts";

/** What became of one mutant. */
export interface Outcome {
  readonly mutant: Mutant;
  readonly killed: boolean;
  /** Killed since it took far longer than what is right. */
  readonly late: boolean;
  /** Whether a thread came to the instruction. */
  readonly reached: boolean;
}

const leastShare = 0.9;
// The second one, where the first lets a mutant pass, has threads and streams in another order.
const settings: readonly Setting[] = [
  { variant: "plain", schedule: "eager", seed: 1 },
  { variant: "plain", schedule: "random", seed: 2 },
];
const failedCheck = /^\S+\.(cpp|h):\d+: /m;

// Where a kernel's tests are not in a file of its own name.
const testsOf: Readonly<Record<string, string>> = {
  settle: "slots",
  slots: "slots",
};

/** The words that choose the tests of a mutant's module: no others call its kernels. */
function ownTests({ module }: Mutant): string {
  const name = module.replace(".ptx", "");
  return `tests/${testsOf[name] ?? name}_test`;
}

/** Milliseconds of each module's tests without any mutant. */
async function control(program: string, mutants: readonly Mutant[]) {
  const times = new Map<string, number>();
  await inParallel([...new Set(mutants.map(ownTests))], async (words) => {
    const { status, output, milliseconds } = await runProgram(program, [words], settings[0]);
    if (status !== 0) {
      throw new SpecacheError("device", `${words} fails without any mutant: ${output}`);
    }
    times.set(words, milliseconds);
  });
  return times;
}

/** Runs mutants in so many of the settings; `told` hears of each as soon as it is known. */
export async function runMutants(
  program: string,
  mutants: readonly Mutant[],
  settingCount = settings.length,
  told: (outcome: Outcome) => void = () => {},
): Promise<Outcome[]> {
  const times = await control(program, mutants);
  const outcomes: Outcome[] = [];
  await inParallel(mutants, async (mutant) => {
    const words = ownTests(mutant);
    const limit = 3 * times.get(words)! + 5000;
    let killed = false;
    let late = false;
    let reached = false;
    for (const setting of settings.slice(0, settingCount)) {
      const asked = { ...setting, mutant: mutant.id, limit, until: failedCheck };
      const ended = await runProgram(program, [words], asked);
      killed = ended.status !== 0;
      late = ended.late;
      reached ||= killed || ended.output.includes("was reached");
      if (killed || !reached) break;
    }
    const outcome = { mutant, killed, late, reached };
    outcomes.push(outcome);
    told(outcome);
  });
  return outcomes.sort((a, b) => a.mutant.id - b.mutant.id);
}

/** So many of them, drawn by the seed. */
export function chooseMutants(mutants: readonly Mutant[], count: number, seed: number): Mutant[] {
  const left = [...mutants];
  return Array.from(
    { length: Math.min(count, left.length) },
    (_, i) => left.splice(Math.floor(randomOf(seed, i) * left.length), 1)[0],
  );
}

/** One line a survivor. */
export function describe({ mutant, reached }: Outcome): string {
  const { id, kernel, place, operator, before, after } = mutant;
  // Of the toolkit's headers the name alone: where they lie differs from machine to machine.
  const file = place.file.startsWith("/") ? basename(place.file) : normalize(place.file);
  const where = `${file}:${place.line}`;
  const what = `${before} -> ${after === "" ? "(nothing)" : after}`;
  return `${reached ? "survived" : "not reached"} ${id}: ${kernel}, ${where}: ${operator}: ${what}`;
}

/** How many were killed of those that a test comes to: the others say nothing of the checks. */
export function rateOf(outcomes: readonly Outcome[]) {
  const reached = outcomes.filter((outcome) => outcome.reached).length;
  const killed = outcomes.filter((outcome) => outcome.killed).length;
  return { reached, killed, share: reached === 0 ? 0 : killed / reached };
}

function printKinds(outcomes: readonly Outcome[]): void {
  const kinds = Map.groupBy(outcomes, ({ mutant }) => mutant.operator);
  for (const [operator, all] of [...kinds].sort(([a], [b]) => a < b ? -1 : 1)) {
    console.log(`${operator}: ${all.filter(({ killed }) => killed).length} of ${all.length}`);
  }
}

/** Without words all; a number chooses by id, other words by module or kernel. */
function isWanted({ id, module, kernel }: Mutant, words: readonly string[]): boolean {
  return words.length === 0 ||
    words.some((word) =>
      /^\d+$/.test(word) ? id === Number(word) : `${module} ${kernel}`.includes(word)
    );
}

async function main(args: readonly string[]): Promise<boolean> {
  const number = (name: string, usual: number) => {
    const at = args.indexOf(name);
    return at < 0 ? usual : Number(args[at + 1]);
  };
  const options = {
    seed: number("--seed", usualMutants.seed),
    count: number("--count", usualMutants.count),
  };
  const words = args.filter((word, i) => !word.startsWith("--") && !args[i - 1]?.startsWith("--"));
  const begun = Date.now();
  const seconds = () => `${((Date.now() - begun) / 1000).toFixed(1)} s`;
  const { programs, mutants } = await buildKernels(await fetchNvcc(), ["plain"], options);
  console.log(`${mutants.length} mutants by seed ${options.seed} built in ${seconds()}`);
  const chosen = mutants.filter((mutant) => isWanted(mutant, words));
  const outcomes = await runMutants(programs[0], chosen, undefined, (outcome) => {
    if (!outcome.killed) console.log(describe(outcome));
  });
  printKinds(outcomes);
  const { reached, killed, share } = rateOf(outcomes);
  console.log(`${outcomes.filter(({ late }) => late).length} were killed by the time limit`);
  console.log(`${outcomes.length - reached} are in instructions that no test comes to`);
  console.log(
    `${killed} of ${reached} mutants killed (${(100 * share).toFixed(1)} %) in ${seconds()}`,
  );
  const lost = share < leastShare ? reached - killed : 0;
  console.log(`${reached - lost} passed, ${lost} failed`);
  return lost === 0 && reached > 0;
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2)) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof SpecacheError)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
}
