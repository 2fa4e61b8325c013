// Every model of tests/golden in mode full with KV type f32, on every instruction set of this machine:
// logits within the derived tolerance of a float64 reference, and the same greedy text.

import process from "node:process";
import type { Isa } from "../../engine/config.ts";
import { decode, DecodeState } from "../../engine/decode.ts";
import { describeModel } from "../../engine/model/describe.ts";
import { NativeStore } from "../../engine/native.ts";
import { settle, settleRequest } from "../../engine/settings.ts";
import { openLibrary } from "../../ffi/library.ts";
import { assert, assertEquals, skip, test } from "../harness.ts";
import { goldenModel, goldenNames, type GoldenPrompt, tolerance } from "./golden.ts";

const isas: readonly Isa[] = ["portable", "avx2", "avx512"]; // as specache_isa() counts them, from 2
const { SPECACHE_ISA } = process.env;
const tested = SPECACHE_ISA ? [SPECACHE_ISA as Isa] : isas;
const TOKENS_MAX = 512; // positions of every golden model

function best(): number {
  using library = openLibrary();
  return library.symbols.specache_isa() - 2;
}

function openModel(path: string, isa: Isa): NativeStore {
  const action = "open a golden model";
  const settings = settle(
    { mode: "full", kvType: "f32", isa, threads: 2 },
    TOKENS_MAX,
    null,
    action,
  );
  const description = describeModel(path);
  const store = NativeStore.open(settings, description, null, action);
  store.loadModel(description);
  return store;
}

function assertNear(
  actual: Float32Array,
  expected: readonly number[],
  limit: number,
  what: string,
) {
  assertEquals(actual.length, expected.length);
  const off = Math.max(...expected.map((logit, id) => Math.abs(logit - actual[id])));
  assert(off <= limit, `${what}: a logit is off by ${off}, the tolerance is ${limit}`);
}

// Logits in the middle need a prefill that ends there, so this is a prefill in pieces, too.
function assertLogits(store: NativeStore, prompt: GoldenPrompt, what: string): Float32Array {
  const sequence = store.openSequence();
  const logits = new Float32Array(store.vocabulary);
  let done = 0;
  for (const [at, expected] of Object.entries(prompt.logitsAt ?? {})) {
    const end = Number(at) + 1;
    if (end > done) store.prefill(sequence, prompt.ids.slice(done, end), logits);
    done = Math.max(done, end);
    assertNear(logits, expected, tolerance(prompt), `${what}, position ${at}`);
  }
  if (done < prompt.ids.length) store.prefill(sequence, prompt.ids.slice(done), logits);
  assertNear(logits, prompt.logitsLast, tolerance(prompt), `${what}, last`);
  store.closeSequence(sequence);
  return logits;
}

function greedy(store: NativeStore, prompt: GoldenPrompt): number[] {
  const state = new DecodeState(store.openSequence());
  const maxTokens = prompt.greedy.length;
  const request = settleRequest({ maxTokens }, store.settings, "generate");
  const logits = new Float32Array(store.vocabulary);
  state.ask(prompt.ids);
  const ids: number[] = [];
  for (const event of decode({ store, state, request, eos: [], logits, cancelled: () => false })) {
    if (event.kind === "token") ids.push(event.id);
  }
  store.closeSequence(state.sequence);
  return ids;
}

for (const isa of tested) {
  for (const name of goldenNames) {
    const fact = `${name} in mode full gives the reference's logits and text on ${isa}`;
    if (isas.indexOf(isa) > best()) {
      skip(fact, "this machine lacks it");
      continue;
    }
    test(fact, () => {
      const model = goldenModel(name);
      const store = openModel(model.path, isa);
      try {
        for (const prompt of model.prompts) {
          const what = `${prompt.ids.length} tokens`;
          assertLogits(store, prompt, what);
          assertEquals(greedy(store, prompt), [...prompt.greedy]);
        }
      } finally {
        store.close();
      }
    });
  }
}
