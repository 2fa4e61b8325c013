// Raw stores on a thread answer the bits that they answer here, and leave the event loop free.
import {
  ensureLibrary,
  KvStore,
  type KvStoreOptions,
  SpecacheError,
  StoreThread,
} from "../../mod.ts";
import { assert, assertEquals, assertMatch, assertRejects, test } from "../harness.ts";

await ensureLibrary();

const options: KvStoreOptions = {
  ...{ layers: 2, kvHeads: 2, queryHeads: 4, headDim: 32, contextTokens: 4096 },
  ...{ threads: 1, k: 64, sequences: 2 },
};

function project(tokens: number, heads: number, seed: number): Float32Array {
  return Float32Array.from({ length: tokens * heads * 32 }, (_, at) => Math.sin(at * seed + seed));
}

function tensors(tokens: number, seed = 1) {
  const [keys, values] = [project(tokens, 2, seed), project(tokens, 2, seed + 1)];
  return { keys, values, queries: project(tokens, 4, seed + 2) };
}

test("a store on a thread answers what one of this thread does, forks too", async () => {
  await using thread = new StoreThread();
  await using store = await thread.open(options);
  using own = KvStore.open(options);
  const run = tensors(300);
  for (const layer of [0, 1]) {
    assertEquals(await store.prefill(layer, run), own.prefill(layer, run));
  }
  await using fork = await store.fork();
  using ownFork = own.fork();
  for (const [there, here] of [[store, own], [fork, ownFork]] as const) {
    const step = tensors(2, 3);
    await there.begin({ inputs: 2, trusted: 2 });
    here.begin({ inputs: 2, trusted: 2 });
    for (const layer of [0, 1]) {
      assertEquals(await there.attend(layer, step), here.attend(layer, step));
    }
    await there.end({ keep: 2 });
    here.end({ keep: 2 });
  }
  await store.truncate(200);
  assertEquals([await store.length, await fork.length], [200, 302]);
  assertEquals((await fork.stats()).lateRows, ownFork.stats().lateRows);
  assertEquals(thread.plan(options), KvStore.plan(options));
});

test("parts of arrays are handed over as they are, and arrays stay the caller's", async () => {
  await using thread = new StoreThread();
  await using store = await thread.open(options);
  using own = KvStore.open(options);
  const all = project(9, 8, 1);
  const run = {
    keys: all.subarray(64, 256),
    values: all.subarray(256, 448),
    queries: all.subarray(448, 832),
  };
  assertEquals(await store.prefill(0, run), own.prefill(0, run));
  assertEquals([run.keys.length, all.length], [192, 2304]);
});

test("timers go off while a store on a thread computes", async () => {
  await using thread = new StoreThread();
  await using store = await thread.open(options);
  const run = tensors(2500);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const began = performance.now();
  await store.prefill(0, run);
  const milliseconds = performance.now() - began;
  clearInterval(timer);
  // A tick for each 20 ms is far less than the timer's, and none comes where the loop is held up.
  assert(ticks > milliseconds / 20, `${ticks} ticks in ${milliseconds} ms`);
});

test("what a store on a thread refuses is the error of this thread's", async () => {
  await using thread = new StoreThread();
  await using store = await thread.open({ ...options, sequences: 1 });
  const wrong: readonly (readonly [call: () => Promise<unknown>, code: string, RegExp])[] = [
    [() => thread.open({ ...options, kvHeads: 3 }), "argument", /queryHeads 4 is not a multiple/],
    [() => store.prefill(2, tensors(1)), "argument", /layer 2 is none of 0 to 1$/],
    [() => store.attend(0, tensors(1)), "argument", /no step is at work$/],
    [() => store.fork(), "capacity", /sequences is 1$/],
    [() => store.prefill(0, { keys: [] } as never), "argument", /keys .* is not a Float32Array$/],
  ];
  for (const [call, code, sentence] of wrong) {
    const error = await assertRejects(call, SpecacheError);
    assertEquals(error.code, code);
    assertMatch(error.message, sentence);
  }
  assertEquals(await store.length, 0);
});

test("what is closed refuses, and closing twice is fine", async () => {
  const thread = new StoreThread();
  const store = await thread.open(options);
  const other = await thread.open(options);
  await Promise.all([store.close(), store.close()]);
  assertEquals((await assertRejects(() => store.stats(), SpecacheError)).code, "closed");
  assertEquals(await other.length, 0);
  await Promise.all([thread.close(), thread.close()]);
  await other.close();
  for (const call of [() => other.stats(), () => thread.open(options)]) {
    assertEquals((await assertRejects(call, SpecacheError)).code, "closed");
  }
  await new StoreThread().close(); // one that never started
});
