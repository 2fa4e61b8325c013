// short.ts - `deno task bench:short`: whole steps of short texts, ours against every row, in turn.
// Two stores that were opened alike differ by some percent for as long as they live, by where
// their weights lie; so both are opened anew many times, the one or the other first.
import { describeModel, type ModelDescription } from "../../engine/model/describe.ts";
import { NativeStore } from "../../engine/native.ts";
import { quantile } from "../../eval/statistics.ts";
import { table } from "../../eval/table.ts";
import { smollm2 } from "../../tools/smollm2.ts";
import { type Ratio, ratioOf } from "../peers/speed/interleave.ts";
import { ratioText } from "../peers/speed/report.ts";
import { request } from "./request.ts";
import { type Asked, type Bench, runBench } from "./run.ts";
import { settingsOf, type StackOptions, stepBytes } from "./stack.ts";

const MODES = ["full", "specache"] as const;

/** One length. */
export interface ShortRow {
  readonly tokens: number;
  /** Of a step, medians over the openings. */
  readonly fullMs: number;
  readonly specacheMs: number;
  /** fullMs / specacheMs of the same opening. */
  readonly ratio: Ratio;
  /** The least bytes of our step, and of the full one. */
  readonly specacheBytes: number;
  readonly fullBytes: number;
}

const flags = {
  tokens: { value: "128,256,384,512,700,1024", what: "lengths, of random rows" },
  openings: { value: "8", what: "times that both stores are opened" },
  rounds: { value: "6", what: "requests of each side and opening" },
  steps: { value: "24", what: "steps of a request" },
  k: { value: "256", what: "chosen rows" },
  model: { value: "smollm2", what: "a model's path, or smollm2" },
};
type Names = keyof typeof flags;

async function rows(asked: Asked<Names>): Promise<ShortRow[]> {
  const named = asked.text("model");
  const model = describeModel(named === "smollm2" ? await smollm2() : named);
  const k = asked.number("k");
  return asked.numbers("tokens").map((tokens) => {
    const all: Record<(typeof MODES)[number], number[]> = { full: [], specache: [] };
    for (let opening = 0; opening < asked.number("openings"); opening++) {
      const order = opening % 2 === 0 ? MODES : MODES.toReversed();
      const least = opened(model, order.map((mode) => ({ mode, k })), tokens, asked);
      order.forEach((mode, at) => all[mode].push(least[at]));
    }
    return {
      tokens,
      fullMs: quantile(all.full, 0.5),
      specacheMs: quantile(all.specache, 0.5),
      ratio: ratioOf(all.full, all.specache),
      specacheBytes: stepBytes(model, { mode: "specache", k }, tokens, 1),
      fullBytes: stepBytes(model, { mode: "full", k }, tokens, 1),
    };
  });
}

// Milliseconds of a step of each side, the least of its requests: what else the machine does only
// adds to it.
function opened(
  model: ModelDescription,
  sides: readonly StackOptions[],
  tokens: number,
  asked: Asked<Names>,
): number[] {
  const [rounds, steps] = [asked.number("rounds"), asked.number("steps")];
  const stores: NativeStore[] = [];
  try {
    const turns = sides.map((side) => {
      const { settings, profile } = settingsOf(model, side, tokens + steps);
      const store = NativeStore.open(settings, model, profile, "open a bench");
      stores.push(store);
      store.loadModel(model);
      const sequence = store.openSequence();
      store.fill(sequence, tokens, 1);
      return () => request(store, sequence, tokens, { maxTokens: steps }).wholeMs / steps;
    });
    const least = sides.map(() => Infinity);
    for (let round = 0; round <= rounds; round++) {
      turns.forEach((turn, at) => {
        const ms = turn();
        if (round > 0) least[at] = Math.min(least[at], ms); // the first brings the weights
      });
    }
    return least;
  } finally {
    for (const store of stores) store.close();
  }
}

function print(rows: readonly ShortRow[]): string {
  return table([
    ["tokens", "full", "ours", "ours over full", "ours reads", "full reads"],
    ...rows.map((row) => [
      ...[`${row.tokens}`, `${row.fullMs.toFixed(3)} ms`, `${row.specacheMs.toFixed(3)} ms`],
      ratioText(row.ratio),
      ...[row.specacheBytes, row.fullBytes].map((bytes) => `${(bytes / 1e6).toFixed(1)} MB`),
    ]),
  ]);
}

export const bench: Bench<Names, ShortRow> = {
  task: "bench:short",
  what: "whole steps of short texts, ours against every row",
  ...{ flags, rows, print },
};

if (import.meta.main) await runBench(bench);
