// KvStore: bring your own model. Outputs against float64 softmax attention, sharing, cutting, and
// every byte against the plan.
import { join } from "node:path";
import { planCache } from "../../engine/plan.ts";
import { type CacheStats, KvStore, type KvStoreOptions, type Mode } from "../../mod.ts";
import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertLessOrEqual,
  assertNotEquals,
  test,
} from "../harness.ts";
import {
  assertExact,
  distance,
  openStore,
  prefill,
  randomNumbers,
  shape,
  slice,
  step,
  TOKENS,
} from "./kv.ts";
import { K, withFolder } from "./support.ts";

const START = 300; // tokens prefilled before most steps: 4 pages, 3 of them seen as codes
const SCALE = 0.1;
const QUERIES = shape.queryHeads * shape.headDim; // numbers of an input

const exact: readonly (readonly [string, Partial<KvStoreOptions>])[] = [
  ["mode full", { mode: "full" }],
  ["mode full in another scale", { mode: "full", scale: SCALE }],
  ["specache with k of all tokens", { k: TOKENS }],
  ["specache with k of all tokens and slots", { k: TOKENS, slots: 64 }],
];

for (const [name, options] of exact) {
  test(`${name} is softmax attention in prefill and in steps`, () => {
    using store = openStore({ kvType: "f32", guessesMax: 1, ...options });
    assertExact(prefill(store, 0, 100), 0, options.scale);
    assertExact(prefill(store, 100, START), 100, options.scale);
    for (let token = START; token < START + 25; token++) {
      const outputs = step(store, { inputs: 2 });
      // A guess sees the input before it: without codes, a right one has the next step's outputs.
      const seen = options.mode === "full" ? 2 : 1;
      assertExact(outputs.map((rows) => rows.slice(0, seen * QUERIES)), token, options.scale);
    }
    assertEquals(store.length, START + 25);
  });
}

test("more exact pairs are nearer to softmax attention, and codes alone are not far off", () => {
  const off = [0, K, 64, TOKENS].map((k) => {
    using store = openStore({ kvType: "f32", kMax: TOKENS, k });
    prefill(store, 0, START);
    return distance(step(store), START);
  });
  assert(off.every((each, i) => i === 0 || each < off[i - 1]), `${off}`);
  assertLess(off[0], 0.2); // values are between -1 and 1
});

test("far in a file, slots, guesses and a step's own k and late give the same bits", () =>
  withFolder((folder) => {
    const run = (options: Partial<KvStoreOptions>, inputs: number) => {
      using store = openStore({ guessesMax: 2, kMax: 64, ...options });
      prefill(store, 0, START);
      const steps = [K, 3, 64, K].map((k) => step(store, { inputs, k }));
      return steps.map((outputs) => outputs.map((rows) => rows.slice(0, QUERIES)));
    };
    const file = join(folder, "far");
    const plain = run({}, 1);
    assertEquals(run({ far: { file }, slots: 0 }, 1), plain);
    assertEquals(run({ far: { file }, slots: 64 }, 3), plain);
    assertEquals(run({ slots: 8, threads: 2 }, 2), plain);
  }));

test("late none uses codes for what no slot holds, and late above 0 reads all", () => {
  const with_ = (late: "all" | "none" | { above: number }) => {
    using store = openStore({ slots: 0 });
    prefill(store, 0, START);
    return { outputs: step(store, { late }), stats: store.stats() };
  };
  const all = with_("all");
  assertEquals(with_({ above: 0 }).outputs, all.outputs);
  assertNotEquals(with_("none").outputs, all.outputs);
  assertEquals(with_("none").stats.lateRows, 0);
  assertEquals(all.stats.lateRows, shape.layers * shape.kvHeads * K);
});

test("a run without queries gives no outputs and the same store", () => {
  using quiet = openStore();
  using loud = openStore();
  prefill(loud, 0, START);
  using other = openStore({ sequences: 2 });
  prefill(other, 0, 7);
  other.truncate(0);
  prefill(other, 0, START);
  for (let layer = shape.layers - 1; layer >= 0; layer--) { // in any order
    const { keys, values } = slice(layer, 0, START);
    assertEquals(quiet.prefill(layer, { keys, values }), null);
  }
  const expected = step(loud);
  assertEquals(step(quiet), expected);
  assertEquals(step(other), expected);
});

for (const mode of ["full", "paper", "specache"] as const) {
  test(`a fork shares pages, and both go on apart, mode ${mode}`, () => {
    const origin = openStore({ mode, sequences: 2 });
    prefill(origin, 0, START);
    const alone = openStore({ mode });
    prefill(alone, 0, START);
    const options = mode === "paper" ? { inputs: 2 } : {};
    step(origin, options);
    step(alone, options);
    using fork = origin.fork();
    assertEquals(fork.length, START + 1);
    origin.truncate(10);
    prefill(origin, 10, 140);
    origin.close(); // the fork keeps what it holds
    for (let i = 0; i < 20; i++) assertEquals(step(fork, options), step(alone, options));
    alone.close();
  });
}

test("a store that was cut goes on as one that never went further", () => {
  using cut = openStore({ slots: 32 });
  prefill(cut, 0, START);
  for (let i = 0; i < 30; i++) step(cut);
  for (const tokens of [START + 12, START, 128, 65, 3, 0]) {
    cut.truncate(tokens);
    assertEquals(cut.length, tokens);
    using fresh = openStore();
    prefill(fresh, 0, Math.min(tokens, START) || 1);
    if (tokens === 0) prefill(cut, 0, 1);
    while (fresh.length < tokens) step(fresh);
    for (let i = 0; i < 5; i++) assertEquals(step(cut), step(fresh), `cut to ${tokens}`);
  }
});

function assertFields(stats: CacheStats, tokens: number): void {
  const { layers, kvHeads, headDim } = shape;
  assertEquals(stats.tokens, tokens);
  assertEquals(stats.fullBytes, tokens * layers * kvHeads * headDim * 2 * 2);
  assertEquals(stats.ratio, stats.nearBytes / stats.fullBytes);
  const { prefetchedRows, lateRows, reusedRows, fetchedBytes, farBytes, nearBytes } = stats;
  const { hiddenMs, waitedMs, lateMs } = stats.fetch;
  const counts = [prefetchedRows, lateRows, reusedRows, fetchedBytes, farBytes, nearBytes];
  for (const count of counts) assert(Number.isInteger(count) && count >= 0, `${counts}`);
  for (const ms of [hiddenMs, waitedMs, lateMs]) assert(ms >= 0);
  assertEquals(stats.guess.made, 0); // the caller's guesses are the caller's to count
}

test("stats count what is held, chosen and fetched", () =>
  withFolder((folder) => {
    using store = openStore({ far: { file: join(folder, "far") }, slots: 64 });
    assertEquals(store.stats().ratio, 0);
    prefill(store, 0, START);
    const steps = 6;
    for (let i = 0; i < steps; i++) step(store, { inputs: 2 });
    const stats = store.stats();
    assertFields(stats, START + steps);
    const chosen = steps * shape.layers * shape.kvHeads * K;
    assertEquals(stats.lateRows + stats.reusedRows, chosen);
    assertGreater(stats.prefetchedRows, 0);
    const row = shape.headDim * 2 * 2;
    assertEquals(stats.fetchedBytes, (stats.prefetchedRows + stats.lateRows) * row);
  }));

test("nearBytes and farBytes are what the plan says, in every mode and at every length", () => {
  const modes: readonly (readonly [Mode, Partial<KvStoreOptions>])[] = [
    ["full", {}],
    ["paper", { group: 32 }],
    ["paper", { rule: "rotated" }],
    ["specache", { rule: "paper", slots: 40 }],
    ["specache", { slots: 40, keyBits: 1 }],
    ["specache", { kvType: "f32", valueBits: 2 }],
  ];
  for (const [mode, options] of modes) {
    using store = openStore({ mode, ...options });
    for (const tokens of [0, 1, 64, 130, START, TOKENS]) {
      if (tokens > 0) prefill(store, store.length, tokens);
      const { nearBytes, farBytes, fullBytes, ratio } = planCache(
        store.settings,
        shape,
        null,
        tokens,
      );
      const stats = store.stats();
      assertEquals(
        [stats.nearBytes, stats.farBytes, stats.fullBytes, stats.ratio],
        [nearBytes, farBytes, fullBytes, ratio],
        `${mode}, ${tokens} tokens`,
      );
    }
  }
});

// Claim 5 of the memory: one layer stands for all, for every part but the page table scales with
// layers.
test("at 32K for 8 KV heads of 128 a store with k and slots 256 holds at most .09", () => {
  const large = { layers: 1, kvHeads: 8, queryHeads: 32, headDim: 128 };
  const [tokens, run] = [32_768, 2_048];
  using store = KvStore.open({
    ...large,
    ...{ contextTokens: tokens, k: 256, slots: 256, keyBits: 1, valueBits: 1 },
  });
  const keys = randomNumbers(run * large.kvHeads * large.headDim, 1);
  while (store.length < tokens) store.prefill(0, { keys, values: keys });
  const { ratio, nearBytes } = store.stats();
  assertLessOrEqual(ratio, 0.09);
  const plan = planCache(store.settings, large, null, tokens);
  assertEquals([nearBytes, ratio], [plan.nearBytes, plan.ratio]);
  const { codes, rows, sinks, window, slots, tables } = plan.parts;
  assertEquals(codes + rows + sinks + window + slots + tables, nearBytes);
});
