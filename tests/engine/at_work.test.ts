// A model's step is at work until it is kept or dropped: other calls of its sequence are refused
// and leave it as it was; a request that fails or is cancelled within a step leaves none at work.
import { decode, type Run } from "../../engine/decode.ts";
import { DecodeState } from "../../engine/decode_state.ts";
import type { NativeStore } from "../../engine/native.ts";
import { settleRequest } from "../../engine/settings.ts";
import { noGuesses } from "../../engine/stats.ts";
import { needleModel } from "../../eval/source.ts";
import { assertEquals, assertThrows, test } from "../harness.ts";
import { openModel } from "../parity/run.ts";
import { assertRefused, K, promptIds } from "./support.ts";

const REQUEST = { k: K, late: "all" } as const;

function withModel(body: (store: NativeStore, sequence: bigint) => void | Promise<void>) {
  const store = openModel(needleModel, promptIds.length + 80, { k: K, sequences: 2 });
  const sequence = store.openSequence();
  store.prefill(sequence, promptIds, null);
  return Promise.resolve(body(store, sequence)).finally(() => store.close());
}

test("a model's step is dropped by no other call, and what keep drops can be run again", () =>
  withModel(async (store, sequence) => {
    const step = () => store.step(sequence, [5, 6], 1, REQUEST, null);
    const whole = step();
    const calls: Readonly<Record<string, () => unknown>> = {
      step,
      prefill: () => store.prefill(sequence, [7, 8], null),
      fork: () => store.fork(sequence),
      truncate: () => store.truncate(sequence, 3),
    };
    const { layers } = store.shape;
    const message = `a step of 2 inputs has had ${layers} of ${layers} layers: end it first`;
    for (const call of Object.values(calls)) await assertRefused(call, "argument", message);
    store.keep(sequence, 0);
    assertEquals(step(), whole);
    store.keep(sequence, 1);
    const next = step();
    store.keep(sequence, 0);
    store.truncate(sequence, promptIds.length);
    assertEquals(step(), whole);
    store.keep(sequence, 1);
    assertEquals(step(), next);
  }));

function runOf(store: NativeStore, sequence: bigint, more: Partial<Run>): Run {
  const state = new DecodeState(sequence);
  state.read(promptIds.length);
  state.text.add(promptIds);
  state.next = 5;
  const request = settleRequest({ maxTokens: 3, temperature: 1 }, store.settings, "generate");
  return { store, state, request, eos: [], cancelled: () => false, ...more };
}

test("a draw that fails or is cancelled leaves no step at work, and the text as it was", () =>
  withModel((store, sequence) => {
    const tokens = (more: Partial<Run> = {}) =>
      [...decode(runOf(store, sequence, more))].map((event) => event.kind === "token" && event.id);
    const whole = tokens();
    store.truncate(sequence, promptIds.length);
    const fault = new Error("no draw");
    assertThrows(() =>
      tokens({
        draw() {
          throw fault;
        },
      })
    );
    assertEquals(store.stats(sequence, noGuesses()).tokens, promptIds.length);
    let looks = 0;
    assertEquals(tokens({ cancelled: () => ++looks > 1 }), []); // heard before the first draw
    assertEquals(tokens(), whole);
  }));
