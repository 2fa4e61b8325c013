// overhead.ts - what TypeScript and the crossing into the library take of a decode step: the time
// of a request's steps beside what the library's calls took within. Both runtimes:
//   deno task bench:overhead        bun bench/whole/overhead.ts
import { bytesText } from "../../cli/output.ts";
import { describeModel } from "../../engine/model/describe.ts";
import { NativeStore } from "../../engine/native.ts";
import { quantile } from "../../eval/statistics.ts";
import { shareText, table } from "../../eval/table.ts";
import { smollm2 } from "../../tools/smollm2.ts";
import { request } from "./request.ts";
import { type Asked, type Bench, runBench } from "./run.ts";
import { settingsOf, stepBytes, tokenBytes } from "./stack.ts";

const SAMPLINGS = {
  greedy: {},
  "temperature .8": { temperature: 0.8, seed: 1 },
  "and top-p .95": { temperature: 0.8, topP: 0.95, seed: 1 },
};
const K = 256;

/** One length and way to draw. */
export interface OverheadRow {
  readonly tokens: number;
  readonly sampling: string;
  /** Of a step, medians: the whole, and within the library. */
  readonly stepMs: number;
  readonly nativeMs: number;
  /** Of the whole that was not within the library. */
  readonly share: number;
  /** The least bytes of a step. */
  readonly bytes: number;
  readonly readGbPerSecond: number;
}

const flags = {
  tokens: { value: "256,2048,7500", what: "lengths, of random rows" },
  rounds: { value: "9", what: "requests of each way" },
  steps: { value: "32", what: "steps of a request" },
  model: { value: "smollm2", what: "a model's path, or smollm2" },
};
type Names = keyof typeof flags;

async function rows(asked: Asked<Names>): Promise<OverheadRow[]> {
  const named = asked.text("model");
  const model = describeModel(named === "smollm2" ? await smollm2() : named);
  const [rounds, steps] = [asked.number("rounds"), asked.number("steps")];
  const options = { mode: "specache", k: K } as const;
  return asked.numbers("tokens").flatMap((tokens) => {
    const { settings, profile } = settingsOf(model, options, tokens + steps);
    const store = NativeStore.open(settings, model, profile, "open a bench");
    try {
      store.loadModel(model);
      const sequence = store.openSequence();
      store.fill(sequence, tokens, 1);
      const reads: number[] = [];
      const ways = Object.entries(SAMPLINGS).map(([sampling, sampled]) => ({
        sampling,
        turn: () => request(store, sequence, tokens, { maxTokens: steps, ...sampled }),
        whole: [] as number[],
        within: [] as number[],
      }));
      for (let round = 0; round <= rounds; round++) {
        for (const { turn, whole, within } of ways) {
          const { wholeMs, nativeMs } = turn();
          if (round === 0) continue; // brings the weights
          whole.push(wholeMs / steps);
          within.push(nativeMs / steps);
        }
        const bytes = tokens * tokenBytes(model);
        reads.push(bytes / store.readFar(0, bytes) / 1e9);
      }
      return ways.map(({ sampling, whole, within }) => ({
        ...{ tokens, sampling },
        stepMs: quantile(whole, 0.5),
        nativeMs: quantile(within, 0.5),
        share: quantile(whole.map((ms, at) => 1 - within[at] / ms), 0.5),
        bytes: stepBytes(model, options, tokens, 1),
        readGbPerSecond: quantile(reads, 0.5),
      }));
    } finally {
      store.close();
    }
  });
}

function print(rows: readonly OverheadRow[]): string {
  const head = [
    ...["tokens", "drawn", "step", "in the library", "outside", "share"],
    ...["bytes", "GB/s", "of read"],
  ];
  return table([
    head,
    ...rows.map((row) => {
      const speed = row.bytes / row.nativeMs / 1e6;
      return [
        ...[`${row.tokens}`, row.sampling],
        ...[`${row.stepMs.toFixed(3)} ms`, `${row.nativeMs.toFixed(3)} ms`],
        `${(1000 * row.share * row.stepMs).toFixed(0)} us`,
        `${(100 * row.share).toFixed(2)} %`,
        ...[bytesText(row.bytes), speed.toFixed(1)],
        `${shareText(speed, row.readGbPerSecond)} of ${row.readGbPerSecond.toFixed(1)}`,
      ];
    }),
  ]);
}

export const bench: Bench<Names, OverheadRow> = {
  task: "bench:overhead",
  what: "what TypeScript and the crossing take of a step",
  ...{ flags, rows, print },
};

if (import.meta.main) await runBench(bench);
