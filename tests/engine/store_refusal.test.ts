// What KvStore's methods refuse, and that a refused call leaves the store as one that never saw it.
import type { ErrorCode, KvStore, StepOptions } from "../../mod.ts";
import { assert, assertEquals, test } from "../harness.ts";
import { openStore, prefill, shape, slice, step, TOKENS } from "./kv.ts";
import { assertRefused, errorOf, K } from "./support.ts";

const START = 300;
const { layers, kvHeads, headDim } = shape;
const WIDTH = kvHeads * headDim;

type Refusal = readonly [what: (store: KvStore) => unknown, message: string, code?: ErrorCode];

/** A call on a store that a caller without types may make. */
function untyped(method: "prefill" | "begin" | "end" | "truncate", ...args: unknown[]) {
  return (store: KvStore) => (store[method] as (...args: unknown[]) => unknown)(...args);
}

const zeros = (count: number) => new Float32Array(count);
const pair = (count: number) => ({ keys: zeros(count), values: zeros(count) });
const begin = (options: StepOptions) => (store: KvStore) => store.begin(options);

// None of these begins anything.
const refusals: readonly Refusal[] = [
  [(store) => store.prefill(layers, pair(WIDTH)), "layer 2 is none of 0 to 1"],
  [(store) => store.prefill(-1, pair(WIDTH)), "layer -1 is none of 0 to 1"],
  [(store) => store.prefill(0.5, pair(WIDTH)), "layer 0.5 is none of 0 to 1"],
  [(store) => store.prefill(0, pair(WIDTH + 1)), "keys of 65 numbers are not tokens of 2 x 32"],
  [(store) => store.prefill(0, pair(0)), "keys of 0 numbers are not tokens of 2 x 32"],
  [
    (store) => store.prefill(0, { keys: zeros(2 * WIDTH), values: zeros(WIDTH) }),
    "values of 64 numbers are not 2 x 2 x 32",
  ],
  [
    (store) => store.prefill(0, { ...pair(WIDTH), queries: zeros(3) }),
    "queries of 3 numbers are not 1 x 4 x 32",
  ],
  [untyped("prefill", 0), "options is missing"],
  [untyped("prefill", 0, { keys: zeros(WIDTH) }), "values is missing"],
  [untyped("prefill", 0, { ...pair(WIDTH), scale: 1 }), "option scale is not known"],
  [untyped("prefill", 0, { keys: [0], values: [0] }), "keys [ 0 ] is not a Float32Array"],
  // Read as f32 these would be other numbers, or end too early.
  [
    untyped("prefill", 0, { keys: new Float64Array(WIDTH), values: zeros(WIDTH) }),
    "is not a Float32Array",
  ],
  [
    untyped("prefill", 0, { keys: zeros(WIDTH), values: new Uint8Array(WIDTH) }),
    "is not a Float32Array",
  ],
  [
    (store) => store.prefill(0, pair((TOKENS + 1) * WIDTH)),
    `tokens, contextTokens is ${TOKENS}`,
    "capacity",
  ],
  [begin({ inputs: 0 }), "inputs 0 is below 1"],
  [begin({ inputs: 3 }), "inputs 3 is outside 1..2"],
  [begin({ inputs: 2 ** 32 + 1 }), "inputs 4294967297 is above 4"],
  [begin({ inputs: 1, k: -1 }), "k -1 is below 0"],
  [begin({ inputs: 1, k: 2.5 }), "k 2.5 is not an integer"],
  [begin({ inputs: 1, k: NaN }), "k NaN is not a number"],
  [begin({ inputs: 1, k: K + 1 }), `k ${K + 1} is above kMax ${K}`],
  [begin({ inputs: 1, late: { above: 7 } }), "late.above 7 is above 1"],
  [untyped("begin", { inputs: 1, late: "some" }), "late some is none of all, none"],
  [untyped("begin", { inputs: 1, trusted: 2 }), "trusted 2 is above inputs 1"],
  [untyped("begin", { inputs: 1, guesses: 1 }), "option guesses is not known"],
  [untyped("begin"), "options is missing"],
  [(store) => store.end({ keep: 1 }), "no step is at work"],
  [(store) => store.end({ keep: 0.5 }), "keep 0.5 is not an integer"],
  [(store) => store.end({ keep: 2 ** 32 }), "keep 4294967296 is above 4"],
  [untyped("end"), "options is missing"],
  [(store) => store.attend(0, slice(0, 0, 1)), "no step is at work"],
  [(store) => store.truncate(TOKENS + 1), `tokens ${TOKENS + 1} is above`],
  [(store) => store.truncate(2 ** 32), "tokens 4294967296 is above 16777216"],
  [(store) => store.truncate(1.5), "tokens 1.5 is not an integer"],
  [untyped("truncate"), "tokens is missing"],
  [(store) => store.fork(), "1 sequences are open", "capacity"],
];

/** Checks that two stores give the same bits from here on. */
function assertAlike(
  store: KvStore,
  other: KvStore,
  after: string,
  options: Partial<StepOptions> = {},
): void {
  assertEquals(store.length, other.length, after);
  assertEquals(step(store, options), step(other, options), after);
}

test("each bad call is refused by value and limit, and changes nothing", async () => {
  using store = openStore({ guessesMax: 1 });
  using other = openStore({ guessesMax: 1 });
  for (const each of [store, other]) prefill(each, 0, START);
  for (const [call, message, code = "argument"] of refusals) {
    await assertRefused(() => call(store), code, message);
    assertAlike(store, other, message);
  }
});

test("a step refuses other layers, wrong shapes and keeping a guess, and goes on", async () => {
  using store = openStore();
  using other = openStore();
  for (const each of [store, other]) prefill(each, 0, START);
  const inputs = (layer: number, count: number) => slice(layer, START, START + count);
  const refuse = (call: () => unknown, message: string) => assertRefused(call, "argument", message);
  store.begin({ inputs: 2 });
  await refuse(() => store.attend(1, inputs(1, 2)), "layer 1 is not the step's next, 0");
  await refuse(() => store.attend(0, inputs(0, 1)), "queries of 128 numbers are not 2 x 4 x 32");
  const first = store.attend(0, inputs(0, 2));
  await refuse(() => store.attend(0, inputs(0, 2)), "layer 0 is not the step's next, 1");
  await refuse(() => store.end({ keep: 1 }), "layer 1 of 2 has not attended");
  const outputs = [first, store.attend(1, inputs(1, 2))];
  await refuse(() => store.attend(2, inputs(1, 2)), "layer 2 is none of 0 to 1");
  await refuse(() => store.end({ keep: 2 }), "keep 2 is above trusted 1");
  store.end({ keep: 1 });
  assertEquals(outputs, step(other, { inputs: 2 }));
  assertAlike(store, other, "the step");
});

test("nothing of a step of guesses alone can be kept", async () => {
  using store = openStore();
  using other = openStore();
  for (const each of [store, other]) prefill(each, 0, START);
  store.begin({ inputs: 2, trusted: 0 });
  for (let layer = 0; layer < layers; layer++) store.attend(layer, slice(layer, 0, 2));
  await assertRefused(() => store.end({ keep: 1 }), "argument", "keep 1 is above trusted 0");
  store.end({ keep: 0 });
  assertAlike(store, other, "guesses");
});

// What would drop the step or run at work; wrong ones too.
const dropping: Readonly<Record<string, (store: KvStore) => unknown>> = {
  begin: (store) => store.begin({ inputs: 1 }),
  "a begin of too many inputs": (store) => store.begin({ inputs: 4 }),
  fork: (store) => store.fork(),
  "truncate to nothing": (store) => store.truncate(0),
  "truncate to what is held": (store) => store.truncate(START),
  "truncate to more": (store) => store.truncate(TOKENS),
};

async function assertNoneDrops(
  store: KvStore,
  calls: typeof dropping,
  message: string,
): Promise<void> {
  for (const [name, call] of Object.entries(calls)) {
    const { code, message: said } = await errorOf(() => call(store));
    assertEquals(code, "argument", name);
    assert(said.endsWith(message), `${name}: ${said}`);
    assertEquals(store.length, START, name);
  }
}

for (const mode of ["full", "paper", "specache"] as const) {
  const options = { mode, guessesMax: 1, sequences: 2 } as const;

  test(`a step is dropped by no other call and gives the same bits, mode ${mode}`, async () => {
    using store = openStore(options);
    using other = openStore(options);
    for (const each of [store, other]) prefill(each, 0, START);
    const calls = { ...dropping, prefill: () => store.prefill(0, slice(0, START, START + 9)) };
    const outputs: Float32Array[] = [];
    store.begin({ inputs: 2 });
    for (let layer = 0; layer <= layers; layer++) {
      const had = `a step of 2 inputs has had ${layer} of 2 layers`;
      await assertNoneDrops(store, calls, `${had}: end it first, keep 0 drops it`);
      if (layer < layers) outputs.push(store.attend(layer, slice(layer, START, START + 2)));
    }
    store.end({ keep: 1 });
    assertEquals(outputs, step(other, { inputs: 2 }));
    for (let i = 0; i < 3; i++) assertAlike(store, other, "the step", { inputs: 2 });
    store.fork().close(); // no call above took its place
  });

  test(`a run is dropped by no other call and gives the same bits, mode ${mode}`, async () => {
    using store = openStore(options);
    using other = openStore(options);
    for (const each of [store, other]) prefill(each, 0, START);
    const run = (layer: number) => slice(layer, START, START + 70);
    const spoilt = run(0);
    spoilt.keys[69 * WIDTH] = NaN;
    const outputs = [store.prefill(1, run(1))];
    const had = "a run of 70 tokens has had 1 of 2 layers";
    const told = `${had}: give it the others first, or end it, keep 0 drops it`;
    await assertNoneDrops(store, { ...dropping, end: () => store.end({ keep: 1 }) }, told);
    await assertRefused(() => store.attend(0, slice(0, START, START + 1)), "argument", "no step");
    await assertRefused(() => store.prefill(1, run(1)), "argument", "layer 1 has had this run");
    await assertRefused(() => store.prefill(0, slice(0, 0, 69)), "argument", "is not the run's 70");
    await assertRefused(() => store.prefill(0, spoilt), "data", "token 369, layer 0, KV head 0");
    outputs.unshift(store.prefill(0, run(0)));
    assertEquals(outputs, prefill(other, START, START + 70));
    for (let i = 0; i < 3; i++) assertAlike(store, other, "the run", { inputs: 2 });
    store.fork().close();
  });

  test(`keep 0 drops a step or a run wherever it stands, mode ${mode}`, async () => {
    using store = openStore(options);
    using other = openStore(options);
    for (const each of [store, other]) prefill(each, 0, START);
    for (let had = 0; had <= layers; had++) {
      store.begin({ inputs: 2 });
      for (let layer = 0; layer < had; layer++) store.attend(layer, slice(layer, 9, 11));
      store.end({ keep: 0 });
      await assertRefused(() => store.end({ keep: 0 }), "argument", "no step is at work");
      store.prefill(1, slice(1, 0, 70));
      store.end({ keep: 0 });
      await assertRefused(() => store.end({ keep: 0 }), "argument", "no step is at work");
      assertEquals(store.length, START);
    }
    for (let i = 0; i < 3; i++) assertAlike(store, other, "what was dropped", { inputs: 2 });
  });
}

for (const bad of [NaN, Infinity, -Infinity]) {
  test(`${bad} in keys or values is refused by token, layer and head and forgotten`, async () => {
    using store = openStore();
    using other = openStore();
    for (const each of [store, other]) prefill(each, 0, START);
    for (const name of ["keys", "values"] as const) {
      const first = store.length;
      const run = slice(1, first, first + 40);
      run[name][33 * WIDTH + headDim + 5] = bad;
      store.prefill(0, slice(0, first, first + 40));
      const where = `token ${first + 33}, layer 1, KV head 1`;
      await assertRefused(() => store.prefill(1, run), "data", where);
      store.end({ keep: 0 });
      assertAlike(store, other, `${name} of a run`);
      const input = slice(0, store.length, store.length + 1);
      input[name][3] = bad;
      const place = `token ${store.length}, layer 0, KV head 0`;
      store.begin({ inputs: 1 });
      await assertRefused(() => store.attend(0, input), "data", place);
      store.end({ keep: 0 });
      assertAlike(store, other, `${name} of a step`);
    }
  });
}

test("a full store refuses one token more and changes nothing", async () => {
  using store = openStore();
  prefill(store, 0, TOKENS);
  const full = `would hold ${TOKENS + 1} tokens, contextTokens is ${TOKENS}`;
  await assertRefused(() => store.begin({ inputs: 1 }), "capacity", full);
  await assertRefused(() => store.prefill(0, pair(WIDTH)), "capacity", full);
  store.truncate(TOKENS - 1);
  using other = openStore();
  prefill(other, 0, TOKENS - 1);
  assertAlike(store, other, "a full store");
});

test("a closed store refuses all but closing, and its forks go on", async () => {
  const store = openStore({ sequences: 2 });
  prefill(store, 0, START);
  const fork = store.fork();
  store.close();
  store.close();
  const calls: Readonly<Record<string, () => unknown>> = {
    prefill: () => store.prefill(0, pair(WIDTH)),
    begin: () => store.begin({ inputs: 1 }),
    attend: () => store.attend(0, slice(0, 0, 1)),
    end: () => store.end({ keep: 0 }),
    fork: () => store.fork(),
    truncate: () => store.truncate(0),
    stats: () => store.stats(),
    length: () => store.length,
  };
  for (const [name, call] of Object.entries(calls)) {
    assertEquals((await errorOf(call)).code, "closed", name);
  }
  using other = openStore();
  prefill(other, 0, START);
  assertAlike(fork, other, "the origin's close");
  fork.close();
});
