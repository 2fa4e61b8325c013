// prefill.ts - `deno task bench:prefill`: prefill of SmolLM2, ours against every row (mode full),
// in turn in one run, beside the most multiply-adds that this machine does.
import { availableParallelism } from "node:os";
import { describeModel, type ModelDescription } from "../../engine/model/describe.ts";
import { NativeStore } from "../../engine/native.ts";
import { weightBytes } from "../../engine/predict/weights.ts";
import { roles } from "../../engine/model/roles.ts";
import { quantile } from "../../eval/statistics.ts";
import { tokenizerOf } from "../../eval/source.ts";
import { table } from "../../eval/table.ts";
import { longText } from "../../eval/text.ts";
import { smollm2 } from "../../tools/smollm2.ts";
import { interleave, type Ratio, ratioOf } from "../peers/speed/interleave.ts";
import { ratioText } from "../peers/speed/report.ts";
import { peakOf, peakProgram } from "./peak.ts";
import { type Asked, type Bench, runBench } from "./run.ts";
import { settingsOf, type StackOptions, tokenBytes } from "./stack.ts";

/** One length's figures. */
export interface PrefillRow {
  readonly tokens: number;
  readonly fullMs: number;
  readonly specacheMs: number;
  /** fullMs / specacheMs of the same rounds. */
  readonly ratio: Ratio;
  /** Floating-point operations of the whole prefill. */
  readonly flops: number;
  readonly peakFlopsPerSecond: number;
  /** Weights once a chunk, rows written, and rows of the chunks before read again. */
  readonly bytes: number;
  readonly readGbPerSecond: number;
}

const flags = {
  tokens: { value: "512,2048,7500", what: "lengths" },
  rounds: { value: "3", what: "turns of each side" },
  model: { value: "smollm2", what: "a model's path, or smollm2" },
};
type Names = keyof typeof flags;

/** Operations of a causal prefill: products of weights, and attention; logits of the last token. */
export function prefillFlops(model: ModelDescription, tokens: number): number {
  const { layers, queryHeads, headDim, vocabulary, hidden, tensors } = model;
  const weights = tensors.filter(({ role, rows }) =>
    rows > 1 && role !== roles.embedding && role !== roles.output
  ).reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  const pairs = tokens * (tokens + 1) / 2;
  return 2 * tokens * weights + 4 * layers * queryHeads * headDim * pairs + 2 * vocabulary * hidden;
}

/** The least bytes of a prefill by chunks. */
export function prefillBytes(model: ModelDescription, tokens: number, chunk: number): number {
  const chunks = Math.ceil(tokens / chunk);
  const readAgain = chunk * chunks * (chunks - 1) / 2; // tokens
  return chunks * weightBytes(model) + (tokens + readAgain) * tokenBytes(model);
}

async function rows(asked: Asked<Names>): Promise<PrefillRow[]> {
  const named = asked.text("model");
  const path = named === "smollm2" ? await smollm2() : named;
  const model = describeModel(path);
  const lengths = asked.numbers("tokens");
  const most = Math.max(...lengths);
  const ids = tokenizerOf(path).encode(await longText()).slice(0, most);
  using peak = await peakProgram(availableParallelism());
  const open = (options: StackOptions) => {
    const { settings, profile } = settingsOf(model, options, most);
    const store = NativeStore.open(settings, model, profile, "open a bench");
    store.loadModel(model);
    return store;
  };
  const [ours, full] = [open({ mode: "specache", k: 256 }), open({ mode: "full", k: 1 })];
  try {
    const all: PrefillRow[] = [];
    for (const tokens of lengths) {
      console.error(`${tokens} tokens`);
      const read = Math.min(2 ** 28, most * tokenBytes(model));
      const sides = [
        { name: "specache", turn: () => prefill(ours, ids.slice(0, tokens)) },
        { name: "full", turn: () => prefill(full, ids.slice(0, tokens)) },
        { name: "read", turn: () => full.readFar(0, read) * 1000 },
        { name: "peak", turn: async () => 1e12 / await peakOf(peak) },
      ];
      const how = { rounds: asked.number("rounds"), turnMs: 1, warm: tokens <= 512 };
      const [one, other, reads, peaks] = await interleave(sides, how);
      all.push({
        tokens,
        specacheMs: quantile(one.ms, 0.5),
        fullMs: quantile(other.ms, 0.5),
        ratio: ratioOf(other.ms, one.ms),
        flops: prefillFlops(model, tokens),
        peakFlopsPerSecond: 1e12 / Math.min(...peaks.ms), // the most of all
        bytes: prefillBytes(model, tokens, ours.settings.chunkTokens),
        readGbPerSecond: read / quantile(reads.ms, 0.5) / 1e6,
      });
    }
    return all;
  } finally {
    for (const store of [ours, full]) store.close();
  }
}

function prefill(store: NativeStore, ids: readonly number[]): number {
  const sequence = store.openSequence();
  const started = performance.now();
  store.prefill(sequence, ids, new Float32Array(store.vocabulary));
  const ms = performance.now() - started;
  store.closeSequence(sequence);
  return ms;
}

function print(rows: readonly PrefillRow[]): string {
  const head = [
    ...["tokens", "full", "ours", "ours over full", "tokens/s", "GFLOP", "GFLOP/s", "of peak"],
    ...["bytes", "GB/s", "read GB/s"],
  ];
  return table([
    head,
    ...rows.map((row) => {
      const flops = row.flops / row.specacheMs * 1000;
      return [
        ...[`${row.tokens}`, `${row.fullMs.toFixed(0)} ms`, `${row.specacheMs.toFixed(0)} ms`],
        ...[ratioText(row.ratio), (1000 * row.tokens / row.specacheMs).toFixed(0)],
        ...[(row.flops / 1e9).toFixed(0), (flops / 1e9).toFixed(0)],
        `${Math.round(100 * flops / row.peakFlopsPerSecond)} % of ` +
        (row.peakFlopsPerSecond / 1e9).toFixed(0),
        `${(row.bytes / 1e9).toFixed(2)} GB`,
        ...[(row.bytes / row.specacheMs / 1e6).toFixed(2), row.readGbPerSecond.toFixed(1)],
      ];
    }),
  ]);
}

export const bench: Bench<Names, PrefillRow> = {
  task: "bench:prefill",
  what: "prefill against every row, beside the machine's multiply-adds",
  ...{ flags, rows, print },
};

if (import.meta.main) await runBench(bench);
