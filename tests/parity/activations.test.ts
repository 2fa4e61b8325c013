// Steps with inputs of 8 bits beside steps with floats, on the golden models in blocks: prompts
// give the same bits, steps nearly the same logits.

import type { Activations } from "../../engine/config.ts";
import { assert, assertEquals, test } from "../harness.ts";
import { goldenModel, goldenNames } from "./golden.ts";
import { openModel } from "./run.ts";

// An input is off by up to half a 127th of its block's largest, evenly: most / 127 / sqrt(12) on
// average, where the largest of 32 normal numbers is some 2.5 of their standard deviation. So a
// product is off by .0057 of its norm; the few products behind one another of a layer, and two
// layers, add up to some .02.
const OFF_MAX = .05;

interface Logits {
  readonly prompt: Float32Array;
  readonly step: Float32Array;
}

function logitsOf(path: string, activations: Activations, ids: readonly number[]): Logits {
  const store = openModel(path, 512, { mode: "full", kvType: "f32", activations });
  try {
    const sequence = store.openSequence();
    const [prompt, step] = [0, 1].map(() => new Float32Array(store.vocabulary));
    store.prefill(sequence, ids, prompt);
    store.step(sequence, [ids[0]], 1, { k: 0, late: "all" }, step);
    store.keep(sequence, 1);
    return { prompt, step };
  } finally {
    store.close();
  }
}

/** The norm of the difference over that of the logits' own differences from their mean. */
function off(logits: Float32Array, exact: Float32Array): number {
  const mean = exact.reduce((sum, x) => sum + x) / exact.length;
  const difference = exact.reduce((sum, x, i) => sum + (logits[i] - x) ** 2, 0);
  return Math.sqrt(difference / exact.reduce((sum, x) => sum + (x - mean) ** 2, 0));
}

for (const name of goldenNames.filter((name) => name.startsWith("gguf/"))) {
  const { path, prompts } = goldenModel(name);
  const inBlocks = !/f32|f16/.test(name);
  const fact = inBlocks ? "nearly the same logits" : "the same bits, having no blocks";
  test(`${name} gives a step with inputs of 8 bits ${fact}, and a prompt the same bits`, () => {
    const [float, int8] = (["float", "int8"] as const).map((activations) =>
      logitsOf(path, activations, prompts[0].ids)
    );
    assertEquals(int8.prompt, float.prompt);
    if (!inBlocks) return assertEquals(int8.step, float.step);
    const by = off(int8.step, float.step);
    assert(by > 0 && by < OFF_MAX, `logits are off by ${by} of their norm`);
  });
}
