// poolTokens, the pages that sequences share, and what a watched sequence's steps tell.
import { NativeStore } from "../../engine/native.ts";
import { planCache } from "../../engine/plan.ts";
import { settle } from "../../engine/settings.ts";
import { KvStore } from "../../mod.ts";
import { assert, assertEquals, test } from "../harness.ts";
import { openStore, prefill, shape, step, TOKENS } from "./kv.ts";
import { assertRefused, K } from "./support.ts";

const PAGES = Math.ceil(TOKENS / 64); // of one longest text
const { layers, kvHeads, headDim } = shape;

function openNative(poolTokens: number | undefined, mode: "full" | "specache" = "specache") {
  const options = { mode, k: K, kMax: K, threads: 1, sequences: 3, poolTokens };
  return NativeStore.open(settle(options, TOKENS, null, "open"), shape, null, "open");
}

/** Appends tokens of ones to all layers. */
function append(store: NativeStore, sequence: bigint, tokens: number): void {
  const rows = new Float32Array(tokens * kvHeads * headDim).fill(1);
  for (let layer = 0; layer < layers; layer++) store.append(sequence, layer, tokens, rows, rows);
}

test("poolTokens are those of one longest text to those of all, rounded up to pages", async () => {
  const cases: readonly (readonly [number | undefined, number])[] = [
    [undefined, 3 * PAGES],
    [TOKENS, PAGES],
    [PAGES * 64 + 1, PAGES + 1],
    [3 * TOKENS, Math.ceil(3 * TOKENS / 64)],
  ];
  for (const [poolTokens, pages] of cases) {
    const store = openNative(poolTokens);
    assertEquals(store.pages(), { free: pages, all: pages });
    store.close();
  }
  const refuses = (poolTokens: number, sentence: string) =>
    assertRefused(
      () => openStore({ sequences: 3, poolTokens }),
      "argument",
      `Cannot open a store: poolTokens ${poolTokens} is ${sentence}`,
    );
  await refuses(TOKENS - 1, `below contextTokens ${TOKENS}`);
  await refuses(3 * TOKENS + 1, `above ${3 * TOKENS}, contextTokens of 3 sequences`);
  await refuses(420.5, "not an integer");
});

test("a plan counts the pool's pages and no more", () => {
  const planned = (poolTokens?: number) =>
    planCache(settle({ sequences: 3, poolTokens }, TOKENS, null, "plan"), shape, null, 64);
  const [small, all] = [planned(TOKENS), planned()];
  assertEquals(all.farBytes, 3 * small.farBytes);
  assertEquals(all.reservedBytes - small.reservedBytes, 2 * PAGES * small.parts.codes);
});

test("pages of a native store are free, held or shared", async () => {
  const store = openNative(TOKENS);
  const sequence = store.openSequence();
  append(store, sequence, 193);
  assertEquals(store.sequencePages(sequence), { held: 4, own: 4 });
  const fork = store.fork(sequence);
  assertEquals(store.sequencePages(fork), { held: 3, own: 0 });
  assertEquals(store.pages(), { free: PAGES - 4, all: PAGES });
  const full = `4 more pages are needed, ${PAGES - 4} of ${PAGES} are free`;
  await assertRefused(() => append(store, fork, TOKENS - 193), "capacity", full);
  assertEquals(store.pages(), { free: PAGES - 4, all: PAGES });
  store.closeSequence(sequence);
  assertEquals(store.sequencePages(fork), { held: 3, own: 3 });
  append(store, fork, TOKENS - 193);
  assertEquals(store.pages(), { free: 0, all: PAGES });
  store.close();
});

test("a store whose pool is full refuses, and goes on when another is closed", async () => {
  using store = openStore({ sequences: 2, poolTokens: TOKENS });
  prefill(store, 0, 300);
  const fork = store.fork();
  fork.truncate(0);
  const full = `Cannot prefill layer 0: 4 more pages are needed, ${PAGES - 5} of ${PAGES} are free`;
  await assertRefused(() => prefill(fork, 0, 200), "capacity", full);
  assertEquals(fork.length, 0);
  assertEquals(store.length, 300);
  step(store);
  fork.close();
  prefill(store, 301, 400);
});

for (const mode of ["specache", "full"] as const) {
  test(`watched() tells a step's tokens by layer and head in mode ${mode}`, async () => {
    const store = openNative(undefined, mode);
    const sequence = store.openSequence();
    append(store, sequence, 300);
    const refused = () =>
      assertRefused(() => store.watched(), "argument", "no sequence is watched");
    await refused();
    store.watch(sequence);
    assertEquals(store.watched(), null);
    takeStep(store, sequence);
    const watched = store.watched();
    assert(watched !== null && watched.position === 300);
    const lists = layers * kvHeads;
    assertEquals([...watched.counts], Array(lists).fill(mode === "full" ? 0 : K));
    assertEquals(watched.tokens.length, mode === "full" ? 0 : lists * K);
    for (let list = 0; list < (mode === "full" ? 0 : lists); list++) {
      const tokens = watched.tokens.subarray(list * K, (list + 1) * K);
      assert(tokens.every((token, i) => token >= 4 && (i === 0 || token > tokens[i - 1])));
    }
    assert(watched.sources.every((source) => source === 1)); // far is RAM and there is no slot
    store.watch(null);
    await refused();
    store.close();
  });
}

/** A step of one token of ones, by the library's own calls. */
function takeStep(store: NativeStore, sequence: bigint): void {
  const { symbols } = store.library;
  const k = store.settings.mode === "full" ? 0 : K;
  store.library.check(
    "begin",
    symbols.specache_begin(store.id, sequence, 1, 1, Uint32Array.of(k, 1, 0)),
  );
  const [rows, queries] = [kvHeads, shape.queryHeads].map((heads) =>
    new Float32Array(heads * headDim).fill(1)
  );
  for (let layer = 0; layer < layers; layer++) {
    const outputs = new Float32Array(queries.length);
    store.library.check(
      "attend",
      symbols.specache_attend(store.id, sequence, layer, queries, rows, rows, outputs),
    );
  }
  assert(store.keep(sequence, 1));
}

test("KvStore takes poolTokens beside contextTokens alone where it has one sequence", () => {
  KvStore.open({ ...shape, contextTokens: 100, poolTokens: 100 }).close();
});
