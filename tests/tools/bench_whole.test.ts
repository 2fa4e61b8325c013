// bench_whole.test.ts - the benches of whole steps on a tiny case: their rows say what they are
// said to, their tables have a line for each, and a bad flag is refused in one sentence.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import * as batch from "../../bench/whole/batch.ts";
import * as kernels from "../../bench/whole/kernels.ts";
import * as memory from "../../bench/whole/memory.ts";
import * as overhead from "../../bench/whole/overhead.ts";
import * as prefill from "../../bench/whole/prefill.ts";
import * as short from "../../bench/whole/short.ts";
import { askedOf, type Bench, helpOf } from "../../bench/whole/run.ts";
import { firstLayers, planOf, stepBytes, tokenBytes } from "../../bench/whole/stack.ts";
import { describeModel } from "../../engine/model/describe.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { weightBytes } from "../../engine/predict/weights.ts";
import { needleModel } from "../../eval/source.ts";
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertStringIncludes,
  assertThrows,
  test,
} from "../harness.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const model = describeModel(needleModel);

/** The rows of a tiny case, whose table has a line for each. */
async function rowsOf<Name extends string, Row>(bench: Bench<Name, Row>, args: string[]) {
  const rows = await bench.rows(askedOf(bench.flags, args));
  assertEquals(bench.print(rows).split("\n").length, rows.length + 2);
  return rows;
}

test("bench:batch steps as many sequences as it says, and counts what they read", async () => {
  const args = ["--tokens", "192,320", "--sequences", "1,3", "--k", "16", "--rounds", "2"];
  const rows = await rowsOf(batch.bench, [...args, "--layers", "2", "--model", needleModel]);
  assertEquals(rows.map(({ tokens, sequences }) => [tokens, sequences]), [
    ...[[192, 1], [192, 3], [320, 1], [320, 3]],
  ]);
  const part = firstLayers(model, 2);
  for (const { tokens, sequences, layers, specacheMs, fullMs, fullBytes, fit } of rows) {
    assertEquals(layers, 2);
    assert(specacheMs > 0 && fullMs > 0);
    assertEquals(fullBytes, weightBytes(part) + sequences * tokens * tokenBytes(part));
    assertEquals(fit, batch.sequencesThatFit(model, 16, tokens));
  }
});

test("bench:short opens both sides, and counts what a step of each reads", async () => {
  const args = ["--tokens", "130,200", "--k", "16", "--openings", "2", "--rounds", "1"];
  const rows = await rowsOf(short.bench, [...args, "--steps", "4", "--model", needleModel]);
  assertEquals(rows.map(({ tokens }) => tokens), [130, 200]);
  for (const { tokens, fullMs, specacheMs, ratio, fullBytes } of rows) {
    assert(fullMs > 0 && specacheMs > 0 && ratio.low <= ratio.median && ratio.median <= ratio.high);
    assertEquals(fullBytes, stepBytes(model, { mode: "full", k: 16 }, tokens, 1));
  }
});

test("the least bytes of our step are weights, codes of whole pages, and k rows a sequence", () => {
  const ours = { mode: "specache", k: 16 } as const;
  const { codes } = planOf(model, ours, 192).parts;
  const cache = codes + 16 * tokenBytes(model);
  assertEquals(stepBytes(model, ours, 192, 3), weightBytes(model) + 3 * cache);
  assert(codes > 0 && codes < 192 * tokenBytes(model) / 4);
});

test("as many sequences fit as reserve no more near memory than one in mode full", () => {
  const tokens = 4096;
  const fit = batch.sequencesThatFit(model, 16, tokens);
  const room = planOf(model, { mode: "full", k: 1 }, tokens).reservedBytes;
  const reserved = (sequences: number) =>
    planOf(model, { mode: "specache", k: 16, sequences }, tokens).reservedBytes;
  assert(reserved(fit) <= room && reserved(fit + 1) > room);
  assert(fit > 1);
});

test("bench:prefill counts the products of weights and attention", async () => {
  const args = ["--tokens", "70,130", "--rounds", "1", "--model", needleModel];
  const rows = await rowsOf(prefill.bench, args);
  assertEquals(rows.map(({ tokens }) => tokens), [70, 130]);
  const { layers, queryHeads, headDim, hidden, intermediate, kvHeads, vocabulary } = model;
  const [query, kv] = [queryHeads * headDim, kvHeads * headDim];
  const weights = layers * hidden * (2 * query + 2 * kv + 3 * intermediate);
  const attention = 4 * layers * query * 70 * 71 / 2;
  const expected = 2 * 70 * weights + attention + 2 * vocabulary * hidden;
  assertEquals(rows[0].flops, expected);
  for (const { specacheMs, fullMs, peakFlopsPerSecond, readGbPerSecond } of rows) {
    assert(specacheMs > 0 && fullMs > 0 && peakFlopsPerSecond > 1e8 && readGbPerSecond > 0);
  }
});

test("bench:overhead tells a step's time within the library, and the rest as a share", async () => {
  const args = ["--tokens", "130", "--rounds", "1", "--steps", "3", "--model", needleModel];
  const rows = await rowsOf(overhead.bench, args);
  assertEquals(rows.map(({ sampling }) => sampling), ["greedy", "temperature .8", "and top-p .95"]);
  for (const { stepMs, nativeMs, share } of rows) {
    assert(nativeMs > 0 && nativeMs < stepMs);
    assertAlmostEquals(share, 1 - nativeMs / stepMs, 1e-9);
  }
});

test("bench:memory measures the near and far bytes that were planned", async () => {
  const rows = await rowsOf(memory.bench, ["--tokens", "64,300", "--layers", "2", "--k", "8"]);
  assertEquals(rows.map(({ tokens, mode }) => `${tokens} ${mode}`), [
    ...["64 full", "64 specache", "300 full", "300 specache"],
  ]);
  for (const { planned, nearBytes, farBytes, allocatedBytes } of rows) {
    assertEquals(nearBytes, planned.nearBytes);
    assertEquals(farBytes, planned.farBytes);
    assertEquals(allocatedBytes, planned.reservedBytes);
  }
});

test("bench:kernels times each kernel of a layer", async () => {
  const args = ["--tokens", "256,2560", "--layers", "2", "--steps", "2", "--k", "8"];
  const rows = await rowsOf(kernels.bench, [...args, "--model", needleModel]);
  const names = [
    ...["scan, choose and attend", "scan", "choose", "attend"],
    ...["encode a chunk", "project a model"],
  ];
  assertEquals(rows.map(({ name }) => name), names);
  for (const { ms, bytes, readGbPerSecond } of rows) {
    assert(ms > 0 && bytes > 0 && readGbPerSecond > 0);
  }
  // A page of keys: 2 bits a channel, a centre of 8 bits, 64 scales of 8 bits, in 8 KV heads.
  assertEquals(kernels.keyBytes(256), 4 * 8 * (64 * 32 + 128 + 64));
});

test("benches of whole steps print their flags, and refuse what they do not know", () => {
  const help = helpOf(batch.bench);
  for (const part of ["deno task bench:batch: ", "--tokens 8192,32768", "--json"]) {
    assertStringIncludes(help, part);
  }
  const sentence = (...args: string[]) => {
    const asked = askedOf(batch.bench.flags, args);
    return assertThrows(() => asked.numbers("tokens"), SpecacheError).message;
  };
  const wrong = "Cannot measure: --tokens 0 is not a whole number from 1 on";
  assertEquals(sentence("--tokens", "0"), wrong);
  assertEquals(sentence("--tokens", "64,x"), wrong.replace("0", "x"));
  const unknown = assertThrows(() => askedOf(batch.bench.flags, ["--what"]), SpecacheError);
  assertStringIncludes(unknown.message, "Cannot measure: ");
  const deno = "Deno" in globalThis ? ["run", "--quiet", "-A", "--no-check"] : [];
  const args = [...deno, "bench/whole/memory.ts", "--layers", "0"];
  const run = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" });
  assertEquals(run.stderr, "Cannot measure: --layers 0 is not a whole number from 1 on\n");
  assertEquals(run.status, 2);
});
