// interleave.ts - sides take turns in one run, A B A B ..., so that what slows the machine slows
// both, and each ratio is of neighbours in time.
import { bootstrap, quantile } from "../../../eval/statistics.ts";

/** Who is measured. */
export interface Side {
  readonly name: string;
  /** Does its work `passes` times; milliseconds of one. */
  turn(passes: number): number | Promise<number>;
}

/** What one side took. */
export interface Times {
  readonly name: string;
  /** Milliseconds, one of each round. */
  readonly ms: readonly number[];
}

/** How many times as long one side took as another, of the pairs of rounds. */
export interface Ratio {
  readonly median: number;
  /** 95 % interval of the median. */
  readonly low: number;
  readonly high: number;
}

/** How often, and how long a turn is meant to be. */
export interface Rounds {
  readonly rounds: number;
  readonly turnMs: number;
  /** Default: a turn begins with a pass that is not counted, to bring back the caches. */
  readonly warm?: boolean;
}

const PASSES_MAX = 1000;
const PAUSE_MS = 20; // threads of the side before may still spin

/** The times of all sides. */
export async function interleave(sides: readonly Side[], how: Rounds): Promise<Times[]> {
  const times = sides.map(({ name }) => ({ name, ms: [] as number[], passes: 1 }));
  const warm = how.warm ?? true;
  for (let round = warm ? 0 : 1; round <= how.rounds; round++) {
    for (const [at, side] of sides.entries()) {
      const of = times[at];
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      if (warm) await side.turn(1);
      if (round === 0) of.passes = await passesOf(side, how.turnMs);
      else of.ms.push(await side.turn(of.passes));
    }
  }
  return times.map(({ name, ms }) => ({ name, ms }));
}

async function passesOf(side: Side, turnMs: number): Promise<number> {
  const started = performance.now();
  await side.turn(1);
  const passes = Math.round(turnMs / (performance.now() - started));
  return Math.max(1, Math.min(PASSES_MAX, passes));
}

/** Median of what `theirs` took over what `ours` took in the same round, with its interval. */
export function ratioOf(theirs: readonly number[], ours: readonly number[]): Ratio {
  const ratios = theirs.map((ms, round) => ms / ours[round]);
  const median = (values: readonly number[]) => quantile(values, 0.5);
  return { median: median(ratios), ...bootstrap(ratios, median, 1) };
}
