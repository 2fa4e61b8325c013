// batch.ts - `deno task bench:batch`: decode steps of several sequences at once, ours against every
// row (mode full), in turn in one run, with random weights and rows in the shape of Llama-3.2-1B.
// Where memory does not hold both caches, as many layers as it holds are taken.
import { freemem } from "node:os";
import { describeModel, type ModelDescription } from "../../engine/model/describe.ts";
import { bytesText } from "../../cli/output.ts";
import { quantile } from "../../eval/statistics.ts";
import { table } from "../../eval/table.ts";
import { interleave, type Ratio, ratioOf } from "../peers/speed/interleave.ts";
import { ratioText } from "../peers/speed/report.ts";
import { shapeModel } from "../peers/speed/shape_model.ts";
import { type Asked, type Bench, runBench } from "./run.ts";
import { firstLayers, planOf, Stack, type StackOptions, stepBytes, tokenBytes } from "./stack.ts";

const FULL: StackOptions = { mode: "full", k: 1 };
const MEMORY_SHARE = 0.4; // of free memory, for both caches
const READ_BYTES = 2 ** 29; // at a time, when it is measured how fast memory is read

/** So many sequences of one length. */
export interface BatchRow {
  readonly tokens: number;
  readonly sequences: number;
  readonly layers: number;
  /** Of a step of all sequences, medians. */
  readonly fullMs: number;
  readonly specacheMs: number;
  /** fullMs / specacheMs of the same rounds. */
  readonly ratio: Ratio;
  /** The least bytes of our step, and of the full one. */
  readonly specacheBytes: number;
  readonly fullBytes: number;
  /** What all threads read here. */
  readonly readGbPerSecond: number;
  /** Sequences of this length that fit the near memory of one in mode full, by plan. */
  readonly fit: number;
}

const flags = {
  tokens: { value: "8192,32768", what: "lengths" },
  sequences: { value: "1,4,16", what: "how many at once" },
  k: { value: "256", what: "chosen rows" },
  rounds: { value: "5", what: "turns of each side" },
  layers: { value: "16", what: "at most" },
  model: { value: "shape", what: "a model's path, or shape: random weights, 1.3 GB" },
};
type Names = keyof typeof flags;

async function rows(asked: Asked<Names>): Promise<BatchRow[]> {
  const [lengths, counts] = [asked.numbers("tokens"), asked.numbers("sequences")];
  const [k, rounds, layersMost] = [
    asked.number("k"),
    asked.number("rounds"),
    asked.number("layers"),
  ];
  const named = asked.text("model");
  const model = describeModel(named === "shape" ? await shapeModel() : named);
  const all: BatchRow[] = [];
  for (const tokens of lengths) {
    const layers = layersThatFit(model, tokens, Math.max(...counts), layersMost);
    const fit = sequencesThatFit(model, k, tokens);
    console.error(`${tokens} tokens, ${layers} layers`);
    const part = firstLayers(model, layers);
    all.push(...(await measured(part, { k, rounds, tokens, counts })).map((row) => (
      { ...row, layers, fit }
    )));
  }
  return all;
}

function layersThatFit(
  model: ModelDescription,
  tokens: number,
  sequences: number,
  most: number,
): number {
  const layer = tokenBytes(firstLayers(model, 1)) * tokens * sequences;
  const room = Math.floor(freemem() * MEMORY_SHARE / (2 * layer)); // ours keeps all rows far
  return Math.max(1, Math.min(model.layers, most, room));
}

/** The most sequences whose reserved near bytes are not above those of one in mode full. */
export function sequencesThatFit(model: ModelDescription, k: number, tokens: number): number {
  const room = planOf(model, FULL, tokens).reservedBytes;
  const options = { mode: "specache", k } as const;
  const of = (sequences: number) =>
    planOf(model, { ...options, sequences }, tokens).reservedBytes <= room;
  let sequences = 0;
  while (of(sequences + 1)) sequences++;
  return sequences;
}

interface How {
  readonly k: number;
  readonly rounds: number;
  readonly tokens: number;
  readonly counts: readonly number[];
}

async function measured(model: ModelDescription, { k, rounds, tokens, counts }: How) {
  const ours: StackOptions = { mode: "specache", k };
  const most = Math.max(...counts);
  using specache = new Stack(model, ours, tokens, most);
  using full = new Stack(model, FULL, tokens, most);
  const read = Math.min(READ_BYTES, most * tokens * tokenBytes(model));
  const rows: Omit<BatchRow, "layers" | "fit">[] = [];
  for (const sequences of counts) {
    const side = (name: string, stack: Stack) => ({
      name,
      turn(passes: number) {
        let ms = 0;
        for (let pass = 0; pass < passes; pass++) ms += stack.step(sequences);
        return ms / passes;
      },
    });
    const reader = { name: "read", turn: () => full.native.readFar(0, read) * 1000 };
    const sides = [side("specache", specache), side("full", full), reader];
    const [one, other, reads] = await interleave(sides, { rounds, turnMs: 100 });
    rows.push({
      ...{ tokens, sequences },
      specacheMs: quantile(one.ms, 0.5),
      fullMs: quantile(other.ms, 0.5),
      ratio: ratioOf(other.ms, one.ms),
      specacheBytes: stepBytes(model, ours, tokens, sequences),
      fullBytes: stepBytes(model, FULL, tokens, sequences),
      readGbPerSecond: read / quantile(reads.ms, 0.5) / 1e6,
    });
  }
  return rows;
}

function print(rows: readonly BatchRow[]): string {
  const head = [
    ...["tokens", "sequences", "layers", "full", "ours", "tokens/s", "ours over full"],
    ...["ours reads", "GB/s", "of read", "full GB/s", "fit in one full"],
  ];
  return table([
    head,
    ...rows.map((row) => {
      const speed = (bytes: number, ms: number) => bytes / ms / 1e6;
      const ours = speed(row.specacheBytes, row.specacheMs);
      return [
        ...[`${row.tokens}`, `${row.sequences}`, `${row.layers}`],
        ...[`${row.fullMs.toFixed(1)} ms`, `${row.specacheMs.toFixed(1)} ms`],
        (1000 * row.sequences / row.specacheMs).toFixed(1),
        ...[ratioText(row.ratio), bytesText(row.specacheBytes), ours.toFixed(1)],
        `${Math.round(100 * ours / row.readGbPerSecond)} % of ${row.readGbPerSecond.toFixed(1)}`,
        ...[speed(row.fullBytes, row.fullMs).toFixed(1), `${row.fit}`],
      ];
    }),
  ]);
}

export const bench: Bench<Names, BatchRow> = {
  task: "bench:batch",
  what: "steps of several sequences at once, against every row",
  ...{ flags, rows, print },
};

if (import.meta.main) await runBench(bench);
