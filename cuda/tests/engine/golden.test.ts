// Every golden model on the emulated device cuda: logits within the tolerance that the CPU has, and
// the same greedy text in mode full and, with the CPU's, in mode specache.

import { assert, assertEquals, test } from "../../../tests/harness.ts";
import { goldenModel, goldenNames } from "../../../tests/parity/golden.ts";
import {
  assertLikeliest,
  assertLogits,
  greedyText,
  openFull,
  openModel,
} from "../../../tests/parity/run.ts";

const TOKENS_MAX = 512;
const SHORT_MAX = 130; // tokens of the prompts that are run: emulated attention takes its time
const GREEDY = 12;

for (const name of goldenNames) {
  test(`${name} on device cuda gives the reference's logits and text`, () => {
    const { path, prompts } = goldenModel(name);
    const store = openModel(path, TOKENS_MAX, { mode: "full", kvType: "f32", device: "cuda" });
    try {
      for (const prompt of prompts.filter(({ ids }) => ids.length <= SHORT_MAX)) {
        assertLogits(store, prompt);
      }
      const { ids, greedy } = prompts[1];
      assertEquals(greedyText(store, ids, GREEDY), greedy.slice(0, GREEDY));
    } finally {
      store.close();
    }
  });
}

test("with every tail token exact a model's text is that of mode full on the CPU", () => {
  const { path, prompts } = goldenModel("llama-gqa8");
  const { ids } = prompts.find(({ ids }) => ids.length === SHORT_MAX)!;
  const full = openFull(path, TOKENS_MAX);
  const all = { mode: "specache", kvType: "f32", k: TOKENS_MAX, device: "cuda" } as const;
  const exact = openModel(path, TOKENS_MAX, all);
  try {
    assertEquals(greedyText(exact, ids, 2 * GREEDY), greedyText(full, ids, 2 * GREEDY));
  } finally {
    full.close();
    exact.close();
  }
});

test("a recorded step on device cuda is made anew where the text outgrows its logits", () => {
  const { path, prompts } = goldenModel("llama-plain");
  const { ids } = prompts.find(({ ids }) => ids.length === SHORT_MAX)!;
  const text = [...ids, ...ids, ...ids, ...ids];
  const all = { mode: "specache", kvType: "f32", k: TOKENS_MAX } as const;
  const [expected, actual] = (["cpu", "cuda"] as const).map((device) => {
    const store = openModel(path, TOKENS_MAX, { ...all, device });
    const logits = new Float32Array(store.vocabulary);
    try {
      const sequence = store.openSequence();
      // Of 512 tokens, and of 256: behind 440 tokens five pages are coded, 256 tokens are four.
      for (const end of [200, 440]) {
        store.prefill(sequence, text.slice(end === 200 ? 0 : 201, end), null);
        store.step(sequence, [text[end]], 1, { k: TOKENS_MAX, late: "all" }, logits);
        store.keep(sequence, 1);
      }
    } finally {
      store.close();
    }
    return logits;
  });
  const off = Math.max(...expected.map((logit, id) => Math.abs(logit - actual[id])));
  // As the golden logits' own tolerance in f32, 1e-4: only the order of sums differs.
  assert(off < 1e-4, `a logit is off by ${off}`);
});

test("a step on device cuda tells the largest of its logits, recorded or not", () => {
  const { path, prompts } = goldenModel("llama-plain");
  for (const mode of ["full", "specache"] as const) {
    const store = openModel(path, TOKENS_MAX, { mode, device: "cuda" });
    try {
      assertLikeliest(store, prompts.find(({ ids }) => ids.length === SHORT_MAX)!.ids);
      store.record(); // from here on steps are queued one by one
      assertLikeliest(store, prompts[1].ids);
    } finally {
      store.close();
    }
  }
});

for (const mode of ["specache", "paper"] as const) {
  test(`mode ${mode} with few exact tokens gives the CPU's text, however it prefetches`, () => {
    const { path, prompts } = goldenModel("llama-plain");
    const { ids } = prompts.find(({ ids }) => ids.length === SHORT_MAX)!;
    const text = (device: "cpu" | "cuda", more: { prefetch?: "gather" } = {}) => {
      const store = openModel(path, TOKENS_MAX, { mode, k: 16, device, ...more });
      try {
        return greedyText(store, ids, GREEDY);
      } finally {
        store.close();
      }
    };
    const expected = text("cpu");
    assertEquals(text("cuda"), expected);
    assertEquals(text("cuda", { prefetch: "gather" }), expected);
  });
}
