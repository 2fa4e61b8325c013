// kernels.ts - `deno task bench:kernels`: scan, choose, attend, coding and projections apart, with
// the bytes that each moves beside what all threads read. Layers of bench:step in turn, so that a
// layer has left every cache when its turn comes again; projections are a step of a whole model
// behind one page.
import { freemem } from "node:os";
import { bytesText } from "../../cli/output.ts";
import { describeModel } from "../../engine/model/describe.ts";
import { NativeStore } from "../../engine/native.ts";
import { weightBytes } from "../../engine/predict/weights.ts";
import { settle } from "../../engine/settings.ts";
import { quantile } from "../../eval/statistics.ts";
import { shareText, table } from "../../eval/table.ts";
import { randomProfile } from "../random_profile.ts";
import { shapeModel } from "../peers/speed/shape_model.ts";
import { leastBytes, RandomLayers, ROW_BYTES, SHAPE, type Variant } from "../step/layers.ts";
import { noise } from "../walk.ts";
import { type Asked, type Bench, runBench } from "./run.ts";
import { Stack } from "./stack.ts";

const VARIANT: Variant = { name: "default", options: {}, planes: SHAPE.headDim / 4 };
const PAGE = 64;
const CHUNK = 512; // tokens coded at a time
// Of specache_trace: what has ended then.
const ENDS = { scanned: 7, chosen: 8, summed: 9 };
const EVENT_WORDS = 4;

/** What one kernel took. */
export interface KernelRow {
  readonly name: string;
  readonly tokens: number;
  readonly ms: number;
  readonly bytes: number;
  readonly readGbPerSecond: number;
}

const flags = {
  tokens: { value: "8192,32768", what: "lengths" },
  layers: { value: "32", what: "at most; as many as a fifth of free memory holds" },
  steps: { value: "5", what: "of all layers" },
  k: { value: "256", what: "chosen rows" },
  model: { value: "shape", what: "of projections: a model's path, or shape: random, 1.3 GB" },
};
type Names = keyof typeof flags;

async function rows(asked: Asked<Names>): Promise<KernelRow[]> {
  const [layersMost, steps, k] = [asked.number("layers"), asked.number("steps"), asked.number("k")];
  const all: KernelRow[] = [];
  for (const tokens of asked.numbers("tokens")) {
    const room = Math.floor(freemem() / 5 / (tokens * SHAPE.kvHeads * ROW_BYTES));
    using layers = new RandomLayers(
      VARIANT,
      ...[Math.max(1, Math.min(layersMost, room)), tokens, k] as const,
    );
    all.push(...attention(layers, steps, k));
  }
  const named = asked.text("model");
  const [{ readGbPerSecond }] = all;
  const model = describeModel(named === "shape" ? await shapeModel() : named);
  using stack = new Stack(model, { mode: "full", k: 1 }, PAGE, 1);
  const times = Array.from({ length: steps + 1 }, () => stack.step(1));
  const encode = { ms: quantile(encodings(steps), 0.5), bytes: encodedBytes() };
  const project = { ms: quantile(times.slice(1), 0.5), bytes: weightBytes(model) };
  return [
    ...all,
    { name: "encode a chunk", tokens: CHUNK, ...encode, readGbPerSecond },
    { name: "project a model", tokens: PAGE, ...project, readGbPerSecond },
  ];
}

/** Bytes of keys' codes of a layer: planes, a centre and a scale of each token, by pages. */
export function keyBytes(tokens: number): number {
  const page = PAGE * SHAPE.headDim * 2 / 8 + SHAPE.headDim + PAGE;
  return Math.floor(tokens / PAGE) * SHAPE.kvHeads * page;
}

function attention(layers: RandomLayers, steps: number, k: number): KernelRow[] {
  const { tokens } = layers;
  const times: Record<keyof typeof ENDS, number[]> = { scanned: [], chosen: [], summed: [] };
  layers.step();
  const speed = quantile(Array.from({ length: 3 }, () => layers.readSpeed()), 0.5) / 1e9;
  for (let step = 0; step < steps; step++) {
    traceStart(layers, 64 * layers.layers);
    const calls = layers.step();
    for (const [layer, events] of traced(layers, 64 * layers.layers).entries()) {
      // Of several runs of KV heads each has its own; the first scan is what else the call took.
      const sums = { scanned: 0, chosen: 0, summed: 0 };
      const rest = events.at(-1)!.ms - events[0].ms;
      sums.scanned = calls[layer] - rest;
      for (const [at, { what, ms }] of events.entries()) {
        if (at > 0) sums[what] += ms - events[at - 1].ms;
      }
      for (const name of Object.keys(sums) as (keyof typeof ENDS)[]) times[name].push(sums[name]);
    }
  }
  const [codes, keys] = [leastBytes(VARIANT, tokens, 0), keyBytes(tokens)];
  const exact = Math.min(k, tokens) * SHAPE.kvHeads * ROW_BYTES;
  const row = (name: string, ms: number[], bytes: number): KernelRow => (
    { name, tokens, ms: quantile(ms, 0.5), bytes, readGbPerSecond: speed }
  );
  const logits = tokens * SHAPE.queryHeads * 4; // f32
  // A short text's layer is one loop, whose kernels end together.
  if (Math.max(...times.chosen, ...times.summed) === 0) {
    return [row("scan, choose and attend", times.scanned, codes + logits + exact)];
  }
  return [
    row("scan", times.scanned, keys),
    row("choose", times.chosen, logits),
    row("attend", times.summed, codes - keys + exact),
  ];
}

// Milliseconds of a chunk of one layer: rounded to 16 bits, coded, and kept far.
function encodings(steps: number): number[] {
  const shape = { ...SHAPE, layers: 1 };
  const parts = { keys: false, values: true };
  const settings = settle({}, 2 * CHUNK, parts, "open a bench");
  const profile = randomProfile({ ...shape, planes: VARIANT.planes });
  const store = NativeStore.open(settings, shape, profile, "open a bench");
  try {
    const sequence = store.openSequence();
    const rows = noise(CHUNK * SHAPE.kvHeads * SHAPE.headDim, 5);
    return Array.from({ length: 4 * steps + 1 }, () => {
      const started = performance.now();
      store.append(sequence, 0, CHUNK, rows, rows);
      const ms = performance.now() - started;
      store.truncate(sequence, 0);
      return ms;
    }).slice(1);
  } finally {
    store.close();
  }
}

// f32 keys and values read, rows written, codes written.
function encodedBytes(): number {
  return CHUNK * SHAPE.kvHeads * (2 * ROW_BYTES + ROW_BYTES) + leastBytes(VARIANT, CHUNK, 0);
}

function traceStart({ native: { library, id } }: RandomLayers, events: number): void {
  library.check("trace", library.symbols.specache_trace_start(id, events));
}

interface Ended {
  readonly what: keyof typeof ENDS;
  readonly ms: number;
}

// What ended in each layer, in order.
function traced({ native: { library, id }, layers }: RandomLayers, most: number): Ended[][] {
  const [events, count] = [new BigUint64Array(EVENT_WORDS * most), new Uint32Array(1)];
  library.check("trace", library.symbols.specache_trace(id, events, most, count));
  const ended: Ended[][] = Array.from({ length: layers }, () => []);
  for (let at = 0; at < count[0]; at++) {
    const [what, layer, , ns] = events.subarray(EVENT_WORDS * at, EVENT_WORDS * (at + 1));
    const name = Object.entries(ENDS).find(([, number]) => number === Number(what))?.[0];
    if (name === undefined) continue;
    ended[Number(layer)].push({ what: name as keyof typeof ENDS, ms: Number(ns) / 1e6 });
  }
  return ended;
}

function print(rows: readonly KernelRow[]): string {
  return table([
    ["kernel", "tokens", "ms", "bytes", "GB/s", "of read"],
    ...rows.map((row) => {
      const speed = row.bytes / row.ms / 1e6;
      return [
        ...[row.name, `${row.tokens}`, row.ms.toFixed(3), bytesText(row.bytes), speed.toFixed(1)],
        `${shareText(speed, row.readGbPerSecond)} of ${row.readGbPerSecond.toFixed(1)}`,
      ];
    }),
  ]);
}

export const bench: Bench<Names, KernelRow> = {
  task: "bench:kernels",
  what: "scan, choose, attend, coding and projections apart",
  ...{ flags, rows, print },
};

if (import.meta.main) await runBench(bench);
