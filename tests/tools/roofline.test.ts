// roofline.test.ts - the model's bytes and times at values computed by hand, that they grow as they
// must, and that every table says that it is modelled.
import { readFileSync } from "node:fs";
import {
  denseBytes,
  headRun,
  llama8b,
  memoryBytes,
  nearBytes,
  pageBytes,
  settings,
  stepBytes,
  stepParts,
  view,
} from "../../bench/roofline/bytes.ts";
import { machines } from "../../bench/roofline/machines.ts";
import {
  issueSeconds,
  lateRowSeconds,
  longest,
  measuredFetch,
  modelStep,
  overtakes,
  type Question,
  weights16,
  weightsQ4,
} from "../../bench/roofline/model.ts";
import { instructionsOf, page } from "../../bench/roofline/page.ts";
import { rooflinePlot } from "../../bench/roofline/plot.ts";
import { modelTables } from "../../bench/roofline/tables.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { Table } from "../../tools/budgets/table.ts";
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreater,
  assertMatch,
  assertThrows,
  test,
} from "../harness.ts";

const root = new URL("../../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");
const { hot } = Table.parse(JSON.parse(read("cuda/budgets.json")));
const h100 = machines.find(({ name }) => name === "H100 SXM")!;
const instructions = { scan: 33, choose: 12, attendCodes: 109, attendExact: 408 };
const usual: Question = {
  ...{ machine: h100, weights: weights16, codes: settings.default, tokens: 131_072, batch: 1 },
  ...{ inputs: 1, fetch: measuredFetch, instructions },
};

test("pageBytes() is the layout of codes.h", () => {
  // Keys 128 x 2 bits x 64 / 8, values 4 x 64, centres 2 x 128, scales 64, parameters 2 x 4.
  assertEquals(pageBytes(settings.default, 128).all, 2048 + 256 + 256 + 64 + 8);
  assertEquals(pageBytes(settings.default, 128).all / 64, 41.125);
  // 1 and 2 bits: 1024 and 2048 bytes of keys, a tenth of the heads 2.
  assertAlmostEquals(pageBytes(settings.compact, 128).keys, 0.9 * 1024 + 0.1 * 2048);
  assertEquals(pageBytes(settings.noProfile, 128).all, 2048 + 1024 + 256 + 64 + 64 + 8);
  // 1 bit each, zero and scale of 4 bytes for 64 tokens of a channel, for 64 channels of a token.
  assertEquals(pageBytes(settings.paper, 128).all, 1024 + 1024 + 128 * 4 + 64 * 2 * 4);
});

test("view() codes a page when 64 tokens are behind it", () => {
  for (
    const [tokens, pages, window] of [[127, 0, 127], [128, 1, 64], [191, 1, 127], [192, 2, 64]]
  ) {
    assertEquals(view(tokens), { pages, window });
  }
});

test("stepBytes() counts a small step as by hand", () => {
  const shape = { layers: 1, kvHeads: 1, queryHeads: 1, headDim: 128 };
  // 256 tokens: 3 pages, a window of 64; all 192 tokens of the tail are chosen.
  const rows = (4 + 64 + 192) * 512, codes = 3 * 2632, logits = 192 * 4, values = 192 * 4;
  const sums = 4 * (32 + 128 + 32); // of one chunk
  const bytes = stepBytes(shape, settings.default, 256, 1);
  assertEquals(bytes.least, codes + rows);
  assertEquals(bytes.compulsory, codes + rows + logits + values + sums);
  const scan = 3 * (2048 + 128 + 64 + 4) + logits;
  const choose = 2 * logits + 5 * values + (4 + 64) * 256;
  const attend = 3 * (256 + 128 + 4) + 2 * logits + 2 * sums;
  assertEquals(bytes.issued, scan + choose + attend + rows);
  assertEquals(bytes.between, logits + values + sums);
  assertEquals(bytes.logitReads, 4 * logits + 4 * values);
  const run = headRun(shape, 256, 1, 1);
  assertEquals(run, { heads: 1, bytes: 256 * 2 * 4 });
  assertEquals(memoryBytes(bytes, run, 2 * 2048), bytes.least);
  assertEquals(memoryBytes(bytes, run, 2 * 2048 - 1), bytes.compulsory + bytes.logitReads);
});

test("headRun() has the heads whose logits and values are 2/5 of L2, and one at least", () => {
  const of = (tokens: number, inputs: number, cache: number) =>
    headRun(llama8b, tokens, inputs, cache * 2 ** 20).heads;
  // 2 inputs x 5 x 4 bytes a token of a head: 5 MiB at 131,072.
  assertEquals([1, 2, 3].map((inputs) => of(131_072, inputs, 50)), [8, 4, 2]);
  assertEquals([of(131_073, 2, 50), of(2 ** 24, 2, 50), of(32_768, 2, 7)], [3, 1, 2]);
});

test("the bytes that memory moves are at most 1.1 of the least where L2 holds a run", () => {
  for (const { name, cacheBytes } of machines) {
    for (const tokens of [4096, 32_768, 131_072]) {
      const bytes = stepBytes(llama8b, settings.default, tokens, 2);
      const run = headRun(llama8b, tokens, 2, cacheBytes);
      const holds = run.bytes <= cacheBytes / 2;
      assertEquals(memoryBytes(bytes, run, cacheBytes) <= 1.1 * bytes.least, holds, name);
      assertEquals(holds, tokens < 131_072 || name !== "RTX A6000", name);
    }
  }
});

test("stepBytes() of a short text is rows alone", () => {
  const { least, compulsory, issued } = stepBytes(llama8b, settings.default, 100, 1);
  assertEquals([least, compulsory], [100 * 131_072, 100 * 131_072]);
  assertGreater(issued, least);
});

test("stepParts() has nothing below its least bytes but what others count", () => {
  for (const inputs of [1, 2, 3]) {
    for (const part of stepParts(llama8b, settings.default, 32_768, inputs)) {
      assert(part.issued >= part.compulsory && part.compulsory >= part.least, part.kernel);
    }
  }
});

test("nearBytes() is what plan tells, but for page tables and the profile", () => {
  const full = denseBytes(llama8b, 32_768);
  assertEquals(full, 4 * 2 ** 30);
  // docs/FIDELITY.md, "Near bytes of these runs".
  assertAlmostEquals(nearBytes(llama8b, settings.default, 32_768) / full, 0.0945, 0.001);
  assertAlmostEquals(nearBytes(llama8b, settings.compact, 32_768) / full, 0.0664, 0.001);
});

test("modelStep() divides bytes by rates as by hand", () => {
  const step = modelStep(usual);
  // 16 GiB over .85 of 3.35 TB/s; the weights without their table are 15.01 GB.
  assertAlmostEquals(step.denseAttention * 1e3, 6.0333, 1e-3);
  assertAlmostEquals((step.denseStep - step.denseAttention) * 1e3, 5.2712, 1e-3);
  // 54.75 rows of 512 bytes in 256 heads over 35.2 GB/s, and 32 waits of 2 us.
  assertAlmostEquals(step.late * 1e3, 0.2039 + 0.064, 1e-3);
  assertAlmostEquals(step.prefetch * 1e3, 0.2383, 1e-3);
  assertAlmostEquals(step.hiddenShare, 0.2383 / (0.2383 + 0.2679), 1e-3);
  assertAlmostEquals(lateRowSeconds(h100) * 1e6, 3.7236, 1e-3);
  assertAlmostEquals(weightsQ4.storedBytes, 8_030_261_248 * 18 / 32, 1);
});

test("issueSeconds() divides instructions by the rate at which they start", () => {
  const { scan, choose, attendCodes } = issueSeconds(usual);
  const tokens = 2047 * 64 * 256, rate = 4 * 1.98e9;
  assertAlmostEquals(scan, tokens * 33 / (rate * 132), 1e-9);
  assertAlmostEquals(choose, tokens * 12 / (rate * 132), 1e-9); // 512 blocks
  const short = issueSeconds({ ...usual, tokens: 4096 });
  assertAlmostEquals(short.choose, 63 * 64 * 256 * 12 / (rate * 16), 1e-9); // of 2 pieces
  const two = issueSeconds({ ...usual, inputs: 2 });
  assertAlmostEquals(two.scan, scan, 1e-12); // 8 queries either way
  assertAlmostEquals(two.attendCodes, attendCodes, 1e-12);
  const three = issueSeconds({ ...usual, inputs: 3 });
  assertAlmostEquals(three.attendCodes, 2 * attendCodes, 1e-12);
});

test("a prefetch that is longer than the step shows", () => {
  const fetch = { late: 0, prefetched: 6400 };
  const { step, attention, prefetch, hiddenShare } = modelStep({ ...usual, fetch });
  assertAlmostEquals(step, prefetch, 1e-9);
  assertGreater(prefetch, attention);
  assert(hiddenShare < 1);
  assertEquals(modelStep({ ...usual, fetch: { late: 0, prefetched: 0 } }).hiddenShare, 1);
});

test("a step grows with length and batch, and the longest text shrinks with the batch", () => {
  const keys = ["denseStep", "step", "stepAsWritten", "stepAtLeast"] as const;
  for (const machine of machines) {
    let before = modelStep({ ...usual, machine, tokens: 4096 });
    for (const tokens of [8192, 32_768, 131_072, 1_048_576]) {
      const step = modelStep({ ...usual, machine, tokens });
      for (const key of keys) assertGreater(step[key], before[key]);
      assert(step.stepAtLeast <= step.step && step.step <= step.stepAsWritten);
      before = step;
    }
    const [one, four] = [1, 4].map((batch) => longest({ ...usual, machine, batch }));
    assert(one.dense > four.dense && one.own > four.own && one.own > one.dense);
    for (const key of keys) {
      assertGreater(
        modelStep({ ...usual, machine, batch: 4 })[key],
        modelStep({ ...usual, machine })[key],
      );
    }
  }
});

test("overtakes() is where a step becomes faster than a dense one", () => {
  const tokens = overtakes(usual, "stepAtLeast")!;
  const at = (length: number) => modelStep({ ...usual, tokens: length });
  assert(at(tokens).stepAtLeast < at(tokens).denseStep);
  assert(at(tokens - 64).stepAtLeast >= at(tokens - 64).denseStep);
  const slow = { ...instructions, attendCodes: 1e6 };
  assertEquals(overtakes({ ...usual, instructions: slow }, "stepAsWritten"), null);
});

test("longest() fits, and a page more does not", () => {
  const { own, dense } = longest(usual);
  assert(modelStep({ ...usual, tokens: own }).fits);
  assert(!modelStep({ ...usual, tokens: own + 64 }).fits);
  assert(modelStep({ ...usual, tokens: dense }).denseFits);
  assert(!modelStep({ ...usual, tokens: dense + 64 }).denseFits);
});

test("every table and the plot say that they are modelled", () => {
  const tables = modelTables(instructions);
  for (const { title, head, rows } of tables) {
    assertMatch(title, /\bmodelled$/);
    for (const row of rows) assertEquals(row.length, head.length, title);
  }
  const text = page(tables);
  // A heading that is not modelled stands before no table of the model's.
  const others = [...text.matchAll(/^## (?!.*\bmodelled$).*$/gm)].map(([line]) => line);
  assertEquals(others, ["## Machines, published figures"]);
  assertMatch(rooflinePlot(instructions), /Modelled time of a decode step/);
});

test("docs/ROOFLINE.md follows from cuda/budgets.json (else: deno task roofline --write)", () => {
  assertEquals(read("docs/ROOFLINE.md"), page(modelTables(instructionsOf(hot))));
});

test("instructionsOf() refuses loops that were not found", () => {
  assertThrows(() => instructionsOf([]), SpecacheError, "no loops of scan_pages");
});
