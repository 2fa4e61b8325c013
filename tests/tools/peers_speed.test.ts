import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { askedOf } from "../../bench/peers/speed/asked.ts";
import { ggufHeader, type Tensor } from "../../bench/peers/speed/gguf_writer.ts";
import { interleave, ratioOf } from "../../bench/peers/speed/interleave.ts";
import { attentionPlot } from "../../bench/peers/speed/plot.ts";
import { Rival } from "../../bench/peers/speed/rival.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { readGguf } from "../../engine/model/gguf.ts";
import {
  assertArrayIncludes,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
  test,
} from "../harness.ts";

const linesOf = (name: string) =>
  readFileSync(new URL(`../../bench/peers/speed/${name}`, import.meta.url), "utf8")
    .split("\n").filter((line) => line !== "" && !line.startsWith("#"));

test("every package that the rivals in speed need is pinned, and what it brings along too", () => {
  for (const folder of ["", "llama_built/"]) {
    const [direct, all] = ["requirements", "constraints"].map((name) =>
      linesOf(`${folder}${name}.txt`)
    );
    assertEquals([...direct, ...all].filter((line) => !/^[\w.-]+==[\w.]+$/.test(line)), []);
    assertArrayIncludes(all, direct);
  }
});

test("bench:peers runs all parts unless some are named, and refuses what it does not know", () => {
  const { parts, lengths, settings } = askedOf(["--lengths", "2,32"]);
  assertEquals(parts, ["attention", "scan", "chat", "shape"]);
  assertEquals([lengths, settings], [[2048, 32_768], ["default"]]);
  assertEquals(askedOf(["scan"]).parts, ["scan"]);
  const sentence = (...args: string[]) => assertThrows(() => askedOf(args), SpecacheError).message;
  assertEquals(
    sentence("decode"),
    "Cannot compare speed: part decode is none of attention, scan, chat, shape",
  );
  assertEquals(
    sentence("--rounds", "0"),
    "Cannot compare speed: --rounds 0 is not a whole number from 1 on",
  );
  assertStringIncludes(sentence("--what"), "Cannot compare speed: ");
});

test("sides take turns, and a turn's first pass is not counted", async () => {
  const turns: string[] = [];
  const side = (name: string, ms: number) => ({
    name,
    turn(passes: number) {
      turns.push(`${name}${passes}`);
      return ms;
    },
  });
  const how = { rounds: 2, turnMs: 1e-9 };
  const times = await interleave([side("a", 1), side("b", 3)], how);
  assertEquals(turns.slice(4).join(" "), "a1 a1 b1 b1 a1 a1 b1 b1");
  assertEquals(times, [{ name: "a", ms: [1, 1] }, { name: "b", ms: [3, 3] }]);
});

test("a ratio is of the same round's times", () => {
  assertEquals(ratioOf([10, 40, 90], [5, 20, 45]), { median: 2, low: 2, high: 2 });
});

test("a rival answers line by line, and its end is an error", async () => {
  using rival = new Rival("cat", [], 1);
  assertEquals(await rival.ask({ ms: 3 }), { ms: 3 });
  await assertRejects(() => rival.ask({ error: "no" }), SpecacheError, "Cannot ask cat: no");
  using none = new Rival("true", [], 1);
  await assertRejects(() => none.ask({}), SpecacheError, "Cannot ask true: the process has ended");
});

test("a GGUF header that is written can be read", () => {
  const folder = mkdtempSync(join(tmpdir(), "specache-"));
  try {
    const path = join(folder, "model.gguf");
    const tensors: Tensor[] = [{ name: "a", rows: 0, columns: 8 }, {
      name: "b",
      rows: 2,
      columns: 64,
    }];
    const header = ggufHeader([
      { name: "general.architecture", kind: "text", value: "llama" },
      { name: "sizes", kind: "i32", value: [1, 2] },
      { name: "epsilon", kind: "f32", value: 0.5 },
    ], tensors);
    writeFileSync(path, new Uint8Array([...header, ...new Uint8Array(32 + 2 * 2 * 34)]));
    const { metadata, tensors: read } = readGguf(path);
    assertEquals([metadata.get("sizes"), metadata.get("epsilon")], [[1, 2], 0.5]);
    assertEquals(read.get("b")?.shape, [2, 64]);
    assertEquals(read.get("b")!.offset - read.get("a")!.offset, 32);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the plot names each side", () => {
  const times = [{ name: "ours", ms: [1] }, { name: "theirs", ms: [2] }];
  const rows = [2048, 8192].map((tokens) => (
    { tokens, setting: "default" as const, times, ratios: [] }
  ));
  const svg = attentionPlot(rows);
  for (const name of ["ours", "theirs"]) assertStringIncludes(svg, `>${name}</text>`);
});
