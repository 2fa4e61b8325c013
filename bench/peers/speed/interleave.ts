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
}

const PASSES_MAX = 1000;
const PAUSE_MS = 20; // threads of the side before may still spin

/** The times of all sides. The first pass of a turn is not counted: it brings back the caches. */
export async function interleave(sides: readonly Side[], how: Rounds): Promise<Times[]> {
  const times = sides.map(({ name }) => ({ name, ms: [] as number[], passes: 1 }));
  for (let round = 0; round <= how.rounds; round++) {
    for (const [at, side] of sides.entries()) {
      const of = times[at];
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      const first = await side.turn(1);
      if (round === 0) { // tells how many passes a turn has, and warms up
        const wall = performance.now();
        await side.turn(1);
        const pass = Math.max(first / 100, performance.now() - wall);
        of.passes = Math.max(1, Math.min(PASSES_MAX, Math.round(how.turnMs / pass)));
      } else of.ms.push(await side.turn(of.passes));
    }
  }
  return times.map(({ name, ms }) => ({ name, ms }));
}

/** Median of what `theirs` took over what `ours` took in the same round, with its interval. */
export function ratioOf(theirs: readonly number[], ours: readonly number[]): Ratio {
  const ratios = theirs.map((ms, round) => ms / ours[round]);
  const median = (values: readonly number[]) => quantile(values, 0.5);
  return { median: median(ratios), ...bootstrap(ratios, median, 1) };
}
