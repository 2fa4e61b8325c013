// How often an audit's interval holds the truth: prose, 1-bit keys and values, k 64; the same 100
// steps at share 1 and, for 100 seeds, at a share. The small model has 8 KV heads, so that a share
// of .01 is 8 samples; SmolLM2 has 90.
import { auditStats } from "../../engine/audit.ts";
import { describeModel } from "../../engine/model/describe.ts";
import { NativeStore } from "../../engine/native.ts";
import { settle } from "../../engine/settings.ts";
import { needleModel } from "../../eval/source.ts";
import { taskKit } from "../../eval/tasks/source.ts";
import { smollm2 } from "../../tools/smollm2.ts";
import { assert, test } from "../harness.ts";

const [STEPS, SEEDS, K] = [100, 100, 64];

interface Audited {
  /** Of a step. */
  readonly milliseconds: number;
  readonly stats: ReturnType<typeof auditStats>;
}

/** Calls `body` with what audits `STEPS` steps behind `tokens` tokens of prose. */
async function audited(
  path: string,
  tokens: number,
  body: (run: (share: number, seed: number) => Audited) => void,
): Promise<void> {
  const description = describeModel(path);
  const kit = await taskKit(path, description);
  const { ids } = kit.tasks.get("text")!(kit.source, { seed: 1, tokens: tokens + STEPS });
  const bits = { keyBits: 1, valueBits: 1, k: K } as const;
  const settings = settle({ audit: 1, ...bits }, tokens + STEPS, null, "audit");
  const store = NativeStore.open(settings, description, null, "audit");
  try {
    store.loadModel(description);
    const sequence = store.openSequence();
    store.prefill(sequence, ids.slice(0, tokens), null);
    body((share, seed) => {
      store.truncate(sequence, tokens);
      store.audit(share, seed);
      const started = performance.now();
      for (const id of ids.slice(tokens)) {
        store.step(sequence, [id], 1, { k: K, late: "all" }, null);
        store.keep(sequence, 1);
      }
      const milliseconds = (performance.now() - started) / STEPS;
      const sums = store.audited(sequence);
      return { milliseconds, stats: auditStats(sums, description, { ...settings, audit: share }) };
    });
  } finally {
    store.close();
  }
}

/** Seeds, of SEEDS, whose intervals hold the truth at a share. */
function held(run: (share: number, seed: number) => Audited, share: number) {
  const truth = run(1, 0).stats;
  let [lost, off, samples] = [0, 0, 0];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { stats } = run(share, seed);
    samples += stats.samples / SEEDS;
    const holds = (name: "lostMass" | "outputDivergence") => {
      const { low, high } = stats[name] ?? { low: 0, high: Infinity };
      return low <= truth[name]!.mean && truth[name]!.mean <= high;
    };
    lost += Number(holds("lostMass"));
    off += Number(holds("outputDivergence"));
  }
  console.log(
    `  share ${share}, ${samples.toFixed(1)} samples: held lost mass ${lost}, output ` +
      `divergence ${off} of ${SEEDS}`,
  );
  return { lost, off };
}

test("needle: the truth lies in most seeds' intervals, and an audit costs what it reads", () => {
  const tokens = 3_000;
  return audited(needleModel, tokens, (run) => {
    run(0.5, 0); // warms up
    const [truth, none] = [run(1, 0), run(0, 0)];
    const cost = (truth.milliseconds - none.milliseconds) / none.milliseconds;
    console.log(`  share 1 adds ${cost.toFixed(2)} of a step`);
    const { lostMass, outputDivergence, chosenMass } = truth.stats;
    console.log(
      `  lost mass ${lostMass!.mean.toFixed(4)}, output divergence ` +
        `${outputDivergence!.mean.toFixed(4)}, chosen mass ${chosenMass!.toFixed(3)}`,
    );
    for (const share of [0.01, 0.1]) {
      const { lost, off } = held(run, share);
      assert(Math.min(lost, off) >= 85); // measured 86 to 95; 95 of 100 has a deviation of 2.2
    }
    // Exact rows are 256 bytes a token and head; ours 20, and the k rows.
    assert(cost < 1.2 * 256 / (20 + K * 256 / tokens));
  });
});

test("SmolLM2: at a share of .01 nine of ten seeds' intervals hold the truth", async () => {
  await audited(await smollm2(), 1_500, (run) => {
    const { lost, off } = held(run, 0.01);
    assert(Math.min(lost, off) >= 88); // of 90 that are promised, less a deviation of 95 of 100
  });
});
