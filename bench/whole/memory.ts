// memory.ts - `deno task bench:memory`: what a cache takes against its length, as planned and as
// measured, ours and every row (mode full), in the shape of Llama-3.2-1B's cache.
import process from "node:process";
import { bytesText } from "../../cli/output.ts";
import { NativeStore } from "../../engine/native.ts";
import { type CachePlan, planCache } from "../../engine/plan.ts";
import { settle } from "../../engine/settings.ts";
import { table } from "../../eval/table.ts";
import { statsCount, statsCounters } from "../../ffi/constants.ts";
import { randomProfile } from "../random_profile.ts";
import { type Asked, type Bench, runBench } from "./run.ts";

const SHAPE = { layers: 16, kvHeads: 8, queryHeads: 32, headDim: 64 };

/** One length and mode. */
export interface MemoryRow {
  readonly tokens: number;
  readonly mode: "full" | "specache";
  readonly planned: CachePlan;
  /** As the library counts them. */
  readonly nearBytes: number;
  readonly farBytes: number;
  readonly allocatedBytes: number;
  /** By which the process's resident memory grew. */
  readonly residentBytes: number;
  /** What all threads read of the rows. */
  readonly readGbPerSecond: number;
}

const flags = {
  tokens: { value: "512,2048,8192,32768", what: "lengths" },
  layers: { value: `${SHAPE.layers}`, what: "of the shape" },
  k: { value: "256", what: "chosen rows" },
};
type Names = keyof typeof flags;

function rows(asked: Asked<Names>): Promise<MemoryRow[]> {
  const shape = { ...SHAPE, layers: asked.number("layers") };
  return Promise.resolve(
    asked.numbers("tokens").flatMap((tokens) =>
      (["full", "specache"] as const).map((mode) =>
        measured(shape, mode, tokens, asked.number("k"))
      )
    ),
  );
}

function measured(
  shape: typeof SHAPE,
  mode: MemoryRow["mode"],
  tokens: number,
  k: number,
): MemoryRow {
  const planes = shape.headDim / 4;
  const profile = mode === "full" ? null : randomProfile({ ...shape, planes, keyBits: 2 });
  const parts = profile && { keys: true, values: true };
  const settings = settle({ mode, k, guessesMax: 0 }, tokens, parts, "open a bench");
  const planned = planCache(settings, shape, profile, tokens);
  const before = process.memoryUsage.rss();
  const store = NativeStore.open(settings, shape, profile, "open a bench");
  try {
    const sequence = store.openSequence();
    store.fill(sequence, tokens, 1);
    const residentBytes = process.memoryUsage.rss() - before;
    const counters = new BigUint64Array(statsCount);
    const { specache_sequence_stats } = store.library.symbols;
    store.library.check("count", specache_sequence_stats(store.id, sequence, counters));
    const counter = (name: keyof typeof statsCounters) => Number(counters[statsCounters[name]]);
    const bytes = tokens * shape.layers * shape.kvHeads * shape.headDim * 4;
    return {
      ...{ tokens, mode, planned, residentBytes },
      nearBytes: counter("nearBytes"),
      farBytes: counter("farBytes"),
      allocatedBytes: counter("allocated"),
      readGbPerSecond: bytes / store.readFar(0, bytes) / 1e9,
    };
  } finally {
    store.close();
  }
}

function print(rows: readonly MemoryRow[]): string {
  const head = [
    ...["tokens", "mode", "near: planned", "measured", "of 16 bits", "far: planned", "measured"],
    ...["reserved", "allocated", "resident grew", "read GB/s"],
  ];
  return table([
    head,
    ...rows.map(({ planned, ...row }) => [
      ...[`${row.tokens}`, row.mode, bytesText(planned.nearBytes), bytesText(row.nearBytes)],
      ...[planned.ratio.toFixed(3), bytesText(planned.farBytes), bytesText(row.farBytes)],
      ...[bytesText(planned.reservedBytes), bytesText(row.allocatedBytes)],
      ...[bytesText(row.residentBytes), row.readGbPerSecond.toFixed(1)],
    ]),
  ]);
}

export const bench: Bench<Names, MemoryRow> = {
  task: "bench:memory",
  what: "near, far and resident bytes against length, planned and measured",
  ...{ flags, rows, print },
};

if (import.meta.main) await runBench(bench);
