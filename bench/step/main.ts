// main.ts - `deno task bench:step`: attention of one layer in a decode step, all rows against ours,
// in turn in one run, beside the time in which this machine's threads read as many bytes.
//   --json             { rows: [{ tokens, denseMs, specacheMs, ratio, .. }] }: StepRow
//   --tokens 2048,..   lengths         --recipe profile|none   values in a profile's basis, or not
//   --k 256            chosen rows     --isa avx2              instruction set
//   --seconds 2        of each length's measuring          --layers 512   at most
import { freemem } from "node:os";
import { parseArgs } from "node:util";
import { bytesText } from "../../cli/output.ts";
import type { Isa } from "../../engine/config.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { median } from "../../engine/predict/numbers.ts";
import { table } from "../../eval/table.ts";
import { ensureLibrary } from "../../ffi/ensure.ts";
import { leastBytes, RandomLayers, ROW_BYTES, SHAPE, type Variant } from "./layers.ts";

// Layers are taken until their codes are this much, or as much of free memory as their rows may be:
// a layer must have left the caches when its turn comes again.
const CODE_BYTES = 2e8;
const ROWS_SHARE = 1 / 5; // of free memory, for each of the two stores
const PLANES = 32; // a quarter of a bit for each number of a value
const DENSE: Variant = { name: "full", options: { mode: "full" }, planes: 0 };

/** One length's figures. */
export interface StepRow {
  readonly tokens: number;
  readonly layers: number;
  readonly denseMs: number;
  readonly specacheMs: number;
  /** denseMs / specacheMs. */
  readonly ratio: number;
  /** Of our step: its least bytes by its time. */
  readonly gbPerSecond: number;
  /** specacheMs over the time in which its least bytes are read. */
  readonly floorRatio: number;
  /** The same of the dense step. */
  readonly denseFloorRatio: number;
  /** What all threads read of the dense rows. */
  readonly readGbPerSecond: number;
  readonly specacheBytes: number;
}

const { values } = parseArgs({
  options: {
    json: { type: "boolean" },
    tokens: { type: "string", default: "2048,8192,32768,131072" },
    recipe: { type: "string", default: "profile" },
    k: { type: "string", default: "256" },
    isa: { type: "string" },
    seconds: { type: "string", default: "2" },
    layers: { type: "string", default: "512" },
  },
});
if (!["profile", "none"].includes(values.recipe)) {
  const sentence = `Cannot measure: --recipe ${values.recipe} is none of profile, none`;
  throw new SpecacheError("argument", sentence);
}
await ensureLibrary();
const isa = values.isa === undefined ? {} : { isa: values.isa as Isa };
const [k, seconds] = [Number(values.k), Number(values.seconds)];
const planes = values.recipe === "none" ? 0 : PLANES;
const ours: Variant = { name: values.recipe, options: isa, planes };
const rows = values.tokens.split(",").map((tokens) => measure(Number(tokens)));
if (values.json) console.log(JSON.stringify({ rows }));
else print(rows);

function measure(tokens: number): StepRow {
  const dense = { ...DENSE, options: { ...DENSE.options, ...isa } };
  const [bytes, rowBytes] = [leastBytes(ours, tokens, k), tokens * SHAPE.kvHeads * ROW_BYTES];
  const room = Math.floor(freemem() * ROWS_SHARE / rowBytes);
  const layers = Math.max(1, Math.min(Number(values.layers), Math.ceil(CODE_BYTES / bytes), room));
  using one = new RandomLayers(ours, layers, tokens, k);
  using other = new RandomLayers(dense, layers, tokens, k);
  const times: Record<"ours" | "dense" | "read", number[]> = { ours: [], dense: [], read: [] };
  const until = performance.now() + seconds * 1000;
  do {
    times.ours.push(...one.step());
    times.dense.push(...other.step());
    times.read.push(rowBytes / other.readSpeed() * 1000);
  } while (performance.now() < until || times.read.length < 3);
  const [specacheMs, denseMs] = [median(times.ours), median(times.dense)];
  const speed = rowBytes / median(times.read) * 1000; // bytes a second
  return {
    ...{ tokens, layers, denseMs, specacheMs, ratio: denseMs / specacheMs },
    gbPerSecond: bytes / specacheMs / 1e6,
    floorRatio: specacheMs / 1000 / (bytes / speed),
    denseFloorRatio: denseMs / 1000 / (rowBytes / speed),
    readGbPerSecond: speed / 1e9,
    specacheBytes: bytes,
  };
}

function print(rows: readonly StepRow[]): void {
  const head = ["tokens", "full", "ours", "ratio", "ours reads", "GB/s", "x floor", "full x floor"];
  const lines = rows.map((row) => [
    ...[`${row.tokens}`, `${row.denseMs.toFixed(2)} ms`, `${row.specacheMs.toFixed(2)} ms`],
    ...[row.ratio.toFixed(2), bytesText(row.specacheBytes), row.gbPerSecond.toFixed(1)],
    ...[row.floorRatio.toFixed(2), row.denseFloorRatio.toFixed(2)],
  ]);
  console.log(table([head, ...lines]));
  const speeds = rows.map((row) => row.readGbPerSecond.toFixed(1));
  console.log(`all threads read ${speeds.join(", ")} GB/s; layers ${rows.map((r) => r.layers)}`);
}
