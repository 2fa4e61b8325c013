// Rows from results made by hand, each figure worked out beside it.
import type { DocumentResult } from "../../eval/run.ts";
import { summarize } from "../../eval/summary.ts";
import { assert, assertAlmostEquals, assertEquals, test } from "../harness.ts";

const base: DocumentResult = {
  ...{ task: "needle", tokens: 100, seed: 0, mode: "specache", depth: 0.5 },
  ...{ recalled: true, fullRecalled: true, kl: [0.1, 0.3], agreed: 1, surprise: 2 * Math.LN2 },
  guess: {
    ...{ made: 2, right: 1, accepted: 0 },
    bySource: { chain: { made: 1, right: 0 }, lookup: { made: 1, right: 1 } },
  },
  ...{ steps: 2, audit: null, prefetchedRows: 24, lateRows: 12, nearBytes: 10, fullBytes: 100 },
};
const of = { model: "m", seed: 0, layers: 3, kvHeads: 2 };

test("recall lost is what full has and the mode has not, less the other way", () => {
  const pairs = [[true, true], [true, false], [true, false], [false, true], [false, false]];
  const { rows: [row] } = summarize(
    pairs.map(([fullRecalled, recalled], seed) => ({ ...base, seed, fullRecalled, recalled })),
    of,
  );
  assertEquals([row.n, row.recall, row.recallLost], [5, 2 / 5, (2 - 1) / 5]);
  const { low, high } = row.intervals.recallLost!;
  assert(low < 0 && high > 0.2);
});

test("means are of steps, not of documents; rows are per step and head", () => {
  const long = { ...base, seed: 1, kl: [0.5, 0.5, 0.5, 0.5], agreed: 4, surprise: 0, steps: 2 };
  const { rows: [row] } = summarize([base, long], of);
  assertAlmostEquals(row.klMean, (0.1 + 0.3 + 4 * 0.5) / 6, 1e-12);
  assertEquals([row.klMax, row.klP99, row.top1], [0.5, 0.5, 5 / 6]);
  assertAlmostEquals(row.perplexity, 2 ** (2 / 6), 1e-12);
  assertEquals(row.tokensPerStep, 6 / 4);
  assertEquals([row.prefetchedRows, row.lateRows], [48 / 6 / 6, 24 / 6 / 6]);
  assertEquals([row.guessRight, row.ratio], [0.5, 0.1]);
  assertEquals(row.guessRightBySource, { chain: 0, lookup: 1 });
});

test("masses and heads are of the audits' sums", () => {
  // samples, lost, lost squared, divergence, divergence squared, chosen, best
  const audit = [...[2, 0.4, 0.1, 0.6, 0.2, 0.5, 1.0], ...[2, 0, 0, 0.2, 0.1, 1.0, 1.0]];
  const { rows: [row], heads } = summarize([{ ...base, audit }], of);
  assertEquals([row.mass, row.lostMass], [1.5 / 2, 0.4 / 4]);
  assertEquals(heads, [
    { mode: "specache", layer: 0, head: 0, mass: 0.5, lostMass: 0.2, outputError: 0.3 },
    { mode: "specache", layer: 0, head: 1, mass: 1, lostMass: 0, outputError: 0.1 },
  ]);
  assertEquals(summarize([base], of).rows[0].mass, null);
});
