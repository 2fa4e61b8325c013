// SmolLM2-135M-Instruct (GGUF, Q4_1 with Q8_0 embeddings) against a float64 reference: token
// ids, top logits and greedy text; mode full, KV type f32.

import { readFileSync } from "node:fs";
import { tokenizerOf } from "../../eval/source.ts";
import { smollm2 } from "../../tools/smollm2.ts";
import { assert, assertEquals, test } from "../harness.ts";
import { goldenPath } from "../parity/golden.ts";
import { greedyText, openFull } from "../parity/run.ts";

interface Golden {
  readonly tokenizer: readonly { text: string; ids: number[]; decoded: string }[];
  readonly prompts: readonly {
    name: string;
    ids: number[];
    top: [number, number][];
    greedy: number[];
  }[];
}

const golden: Golden = JSON.parse(readFileSync(goldenPath("smollm2.json"), "utf8"));
// Ten times what float32 is off in the tiny models, at most 3e-4: these logits are as large.
const TOLERANCE = 3e-3;
const TOKENS_MAX = 2_048;

test("SmolLM2's tokenizer gives the reference's ids", async () => {
  const tokenizer = tokenizerOf(await smollm2());
  for (const { text, ids } of golden.tokenizer) assertEquals(tokenizer.encode(text), ids);
});

test("SmolLM2 in mode full gives the reference's top logits and greedy text", async () => {
  const store = openFull(await smollm2(), TOKENS_MAX);
  try {
    for (const { name, ids, top, greedy } of golden.prompts) {
      const sequence = store.openSequence();
      const logits = new Float32Array(store.vocabulary);
      store.prefill(sequence, ids, logits);
      store.closeSequence(sequence);
      const off = Math.max(...top.map(([id, logit]) => Math.abs(logit - logits[id])));
      assert(
        off <= TOLERANCE,
        `${name}: a top logit is off by ${off}, the tolerance is ${TOLERANCE}`,
      );
      assertEquals(greedyText(store, ids, greedy.length), greedy, name);
    }
  } finally {
    store.close();
  }
});
