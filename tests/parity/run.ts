// run.ts - runs a model in mode full with KV type f32 on the native store itself, with no
// worker between.

import type { Isa } from "../../engine/config.ts";
import { decode, DecodeState } from "../../engine/decode.ts";
import { describeModel } from "../../engine/model/describe.ts";
import { NativeStore } from "../../engine/native.ts";
import { settle, settleRequest } from "../../engine/settings.ts";

/** Opens a model; the caller closes the store. */
export function openFull(path: string, tokensMax: number, isa?: Isa): NativeStore {
  const action = "open a golden model";
  const settings = settle(
    { mode: "full", kvType: "f32", isa, threads: 2 },
    tokensMax,
    null,
    action,
  );
  const description = describeModel(path);
  const store = NativeStore.open(settings, description, null, action);
  store.loadModel(description);
  return store;
}

/** The `maxTokens` most probable ids that follow; no eos ends them. */
export function greedyText(
  store: NativeStore,
  prompt: readonly number[],
  maxTokens: number,
): number[] {
  const state = new DecodeState(store.openSequence());
  const request = settleRequest({ maxTokens }, store.settings, "generate");
  state.ask(prompt);
  const ids: number[] = [];
  for (const event of decode({ store, state, request, eos: [], cancelled: () => false })) {
    if (event.kind === "token") ids.push(event.id);
  }
  store.closeSequence(state.sequence);
  return ids;
}
