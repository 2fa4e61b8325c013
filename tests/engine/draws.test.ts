// Tokens that the library draws, beside those that sampler.ts draws from the same logits.
import type { GenerateOptions } from "../../mod.ts";
import { type NativeStore, optionsOf, samplingOf, UNDECIDED } from "../../engine/native.ts";
import { greedy, sample, type Sampling } from "../../engine/sampler.ts";
import { randomOf } from "../../engine/sampling/race.ts";
import { goldenModel } from "../parity/golden.ts";
import { textOf, withCoded } from "../parity/run.ts";
import { assert, assertEquals, assertGreater, assertLess, test } from "../harness.ts";

const { path, prompts } = goldenModel("llama-gqa8");
const prompt = prompts.find(({ ids }) => ids.length >= 130)!.ids; // a page is seen as codes

const withStore = <Result>(body: (store: NativeStore) => Result): Result => withCoded(path, body);

const limits: readonly Partial<Sampling>[] = [
  {},
  { topK: 1 },
  { topK: 20 },
  { topK: 3000 },
  { topP: 0.9 },
  { topP: 0.05 },
  { topP: 0 },
  { minP: 0.1 },
  { minP: 1 },
  { topK: 40, topP: 0.95 },
  { topK: 50, topP: 0.8, minP: 0.05 },
];

// Roughly normal, of this deviation; rounded to multiples of `step`, unless that is 0.
function logitsOf(count: number, deviation: number, step: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, id) => {
    let sum = -6;
    for (let part = 0; part < 12; part++) sum += randomOf(seed, id * 12 + part);
    const logit = deviation * sum;
    return step === 0 ? logit : Math.round(logit / step) * step;
  });
}

test("the library draws the tokens that sampler.ts draws, or leaves them to it", () => {
  withStore(({ library }) => {
    const id = new Uint32Array(1);
    let [draws, undecided] = [0, 0];
    for (const [count, deviation, step] of [[1, 1, 0], [50, 2, 0], [50, 2, 0.5], [3001, 3, 0]]) {
      const logits = logitsOf(count, deviation, step, count);
      for (const temperature of [0.05, 0.8, 1, 3]) {
        for (const limit of limits) {
          for (let position = 0; position < 12; position++) {
            const sampling = { ...greedy, ...limit, temperature, seed: 2 ** 52 + position };
            const words = samplingOf(sampling);
            const { specache_sample } = library.symbols;
            library.check("draw", specache_sample(words, logits, count, position, 0, id));
            draws++;
            if (id[0] === UNDECIDED) undecided++;
            else assertEquals(id[0], sample(logits, sampling, position));
          }
        }
      }
    }
    assertGreater(draws, 1900);
    assertLess(undecided, draws / 50); // of rounded logits top-p often ends among equal ones
  });
});

test("a text has the tokens that its logits give, whoever draws them", () => {
  withStore((store) => {
    for (const limit of limits) {
      for (const guesses of [0, 2] as const) {
        const options: GenerateOptions = {
          ...{ maxTokens: 16, temperature: 0.9, seed: 11, guesses, accept: "off" },
          ...limit,
        };
        const byLibrary = textOf(store, prompt, options);
        const byLogits = textOf(store, prompt, { ...options, logprobs: 1 });
        assertEquals(byLibrary, byLogits);
      }
    }
  });
});

test("of sequences stepped together each has the logits of its own undecided token", () => {
  withStore((store) => {
    const texts = [prompt, prompt.slice(7, 80)];
    const sequences = texts.map((text) => {
      const sequence = store.openSequence();
      store.prefill(sequence, text, null);
      return sequence;
    });
    const options = optionsOf({ k: 8, late: "all" });
    const step = (minP: readonly number[] | null) => {
      const shares = sequences.map((sequence, at) => ({
        ...{ sequence, inputs: [5], trusted: 1, options },
        logits: new Float32Array(store.vocabulary),
        sampling: minP && samplingOf({ ...greedy, temperature: 1, minP: minP[at] }),
      }));
      const predicted = store.steps(shares)!;
      for (const sequence of sequences) store.keep(sequence, 0);
      return { ids: predicted.map(([{ id }]) => id), logits: shares.map(({ logits }) => logits) };
    };
    const all = step(null).logits;
    // minP at the weight of the second token: of one of them, then of the other, then of both.
    const ties = all.map((row) => {
      const [first, second] = row.toSorted((a, b) => b - a);
      return Math.exp(second - first);
    });
    for (const tied of [[true, false], [false, true], [true, true]]) {
      const { ids, logits } = step(ties.map((tie, at) => tied[at] ? tie : 0));
      assertEquals(ids.map((id) => id === UNDECIDED), tied);
      for (const at of [0, 1]) {
        assertEquals(logits[at], tied[at] ? all[at] : new Float32Array(store.vocabulary));
      }
    }
  });
});

test("a token that the library leaves undecided is drawn from its logits", () => {
  withStore((store) => {
    const options = { maxTokens: 12, temperature: 0.9, seed: 3, accept: "off" } as const;
    const whole = textOf(store, prompt, options);
    const steps = store.steps.bind(store);
    let asked = 0;
    // Each other token: its logits are given, as the library gives those of an undecided one.
    store.steps = (shares) => {
      if (asked++ % 2 === 0) return steps(shares);
      assert(shares.every(({ sampling }) => sampling));
      const predicted = steps(shares.map((share) => ({ ...share, sampling: null })));
      return predicted && predicted.map((rows) => rows.map((row) => ({ ...row, id: UNDECIDED })));
    };
    assertEquals(textOf(store, prompt, options), whole);
    assertGreater(asked, 5);
  });
});
