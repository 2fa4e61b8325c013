// run.ts - runs a model on the native store itself, with no worker between.

import type { CacheOptions, EngineOptions, Isa } from "../../engine/config.ts";
import type { GenerateOptions } from "../../engine/config_generate.ts";
import { decode, type Run } from "../../engine/decode.ts";
import { DecodeState } from "../../engine/decode_state.ts";
import { describeModel } from "../../engine/model/describe.ts";
import { NativeStore } from "../../engine/native.ts";
import { settle, settleRequest } from "../../engine/settings.ts";
import { assert, assertEquals } from "../harness.ts";
import { type GoldenPrompt, tolerance } from "./golden.ts";

/** Opens a model in mode full with KV type f32; the caller closes the store. */
export function openFull(path: string, tokensMax: number, isa?: Isa): NativeStore {
  return openModel(path, tokensMax, { mode: "full", kvType: "f32", isa });
}

/** Opens a model; the caller closes the store. */
export function openModel(
  path: string,
  tokensMax: number,
  options: CacheOptions & Pick<EngineOptions, "activations">,
): NativeStore {
  const action = "open a golden model";
  const settings = settle({ threads: 2, ...options }, tokensMax, null, action);
  const description = describeModel(path);
  const store = NativeStore.open(settings, description, null, action);
  store.loadModel(description);
  return store;
}

/** Runs `body` on a model in mode specache whose texts soon go over a page. */
export function withCoded<Result>(path: string, body: (store: NativeStore) => Result): Result {
  const store = openModel(path, 512, { mode: "specache", kvType: "f32", k: 16, sequences: 2 });
  try {
    return body(store);
  } finally {
    store.close();
  }
}

/** The `maxTokens` most probable ids that follow; no eos ends them. */
export function greedyText(
  store: NativeStore,
  prompt: readonly number[],
  maxTokens: number,
): number[] {
  return textOf(store, prompt, { maxTokens });
}

/** The ids that follow as a request asks for them; no eos ends them. */
export function textOf(
  store: NativeStore,
  prompt: readonly number[],
  options: GenerateOptions,
  draw?: Run["draw"],
): number[] {
  const state = new DecodeState(store.openSequence());
  const request = settleRequest(options, store.settings, "generate");
  state.ask(prompt);
  const ids: number[] = [];
  for (const event of decode({ store, state, request, eos: [], cancelled: () => false, draw })) {
    if (event.kind === "token") ids.push(event.id);
  }
  store.closeSequence(state.sequence);
  return ids;
}

/** What a step says of each input is what its logits say, whether they are asked for or not. */
export function assertLikeliest(store: NativeStore, prompt: readonly number[]): void {
  const sequence = store.openSequence();
  store.prefill(sequence, prompt, null);
  for (let inputs = 1; inputs <= 1 + store.settings.guessesMax; inputs++) {
    const tokens = prompt.slice(0, inputs);
    const logits = new Float32Array(inputs * store.vocabulary);
    const [alone, beside] = [null, logits].map((out) => {
      // All trusted: a guess that is not would see what the step before left in slots.
      const likeliest = store.step(sequence, tokens, inputs, { k: 8, late: "all" }, out);
      store.keep(sequence, 0);
      return likeliest;
    });
    const expected = tokens.map((_, input) => {
      const row = logits.subarray(input * store.vocabulary, (input + 1) * store.vocabulary);
      const id = row.reduce((best, logit, at) => logit > row[best] ? at : best, 0);
      return { id, logit: row[id] };
    });
    assertEquals(alone, expected);
    assertEquals(beside, expected);
  }
  store.closeSequence(sequence);
}

/** Logits in the middle need a prefill that ends there, so this is a prefill in pieces, too. */
export function assertLogits(store: NativeStore, prompt: GoldenPrompt): void {
  const sequence = store.openSequence();
  const logits = new Float32Array(store.vocabulary);
  const last = prompt.ids.length - 1;
  let done = 0;
  const places = [...Object.entries(prompt.logitsAt), [`${last}`, prompt.logitsLast] as const];
  for (const [at, expected] of places) {
    const end = Number(at) + 1;
    if (end > done) store.prefill(sequence, prompt.ids.slice(done, end), logits);
    done = end;
    assertNear(logits, expected, tolerance(prompt), `position ${at} of ${last}`);
  }
  store.closeSequence(sequence);
}

function assertNear(
  actual: Float32Array,
  expected: readonly number[],
  limit: number,
  what: string,
): void {
  assertEquals(actual.length, expected.length);
  const off = Math.max(...expected.map((logit, id) => Math.abs(logit - actual[id])));
  assert(off <= limit, `${what}: a logit is off by ${off}, the tolerance is ${limit}`);
}
