// bench_step.test.ts - what `bench:step` measures: its rows' form, its least bytes, its layers.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { leastBytes, RandomLayers, ROW_BYTES, SHAPE } from "../../bench/step/layers.ts";
import { assert, assertAlmostEquals, assertEquals, test } from "../harness.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const QUARTER_BIT = { name: "profile", options: {}, planes: 32 };

test("bench:step prints a row for each length, whose ratios are those of its times", () => {
  const args = [
    "bench/step/main.ts",
    "--json",
    "--tokens",
    "256,1024",
    "--seconds",
    "0",
    "--layers",
    "2",
  ];
  const deno = "Deno" in globalThis ? ["run", "--quiet", "-A", "--no-check"] : [];
  const run = spawnSync(process.execPath, [...deno, ...args], { cwd: root, encoding: "utf8" });
  assertEquals(run.stderr, "");
  const { rows } = JSON.parse(run.stdout);
  assertEquals(rows.map((row: { tokens: number }) => row.tokens), [256, 1024]);
  for (const row of rows) {
    assert(row.denseMs > 0 && row.specacheMs > 0 && row.layers >= 1);
    assertAlmostEquals(row.ratio, row.denseMs / row.specacheMs, 1e-9);
    const floorMs = row.specacheBytes / row.readGbPerSecond / 1e6;
    assertAlmostEquals(row.floorRatio, row.specacheMs / floorMs, 1e-6 * row.floorRatio);
  }
});

test("the least bytes of a step are its pages' codes and k rows a head", () => {
  // 2-bit keys, 32 planes of values, two centres and 64 key scales in bytes, four numbers of 16
  // bits: 64 * (32 + 4) + 2 * 128 + 64 + 8 a page and head. 2,048 tokens code all but one page.
  const page = 64 * (32 + 4) + 2 * 128 + 64 + 8;
  const rows = 256 * SHAPE.kvHeads * ROW_BYTES;
  const bytes = leastBytes(QUARTER_BIT, 2048, 256);
  assertEquals((bytes - rows) % (SHAPE.kvHeads * page), 0);
  assert(Math.abs((bytes - rows) / (SHAPE.kvHeads * page) - 32) <= 1);
});

test("random layers give the same outputs for the same tokens, and a read speed", () => {
  using one = new RandomLayers(QUARTER_BIT, 2, 300, 32);
  using other = new RandomLayers(QUARTER_BIT, 2, 300, 32);
  assertEquals(one.step().length, 2);
  other.step();
  assertEquals(one.outputs, other.outputs);
  assert(one.outputs.some((x) => x !== 0) && one.outputs.every(Number.isFinite));
  assert(one.readSpeed() > 0);
});
