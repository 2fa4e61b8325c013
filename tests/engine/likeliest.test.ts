// Greedy text needs the most probable token of each input alone: the library tells it, and gives
// logits only where they are asked for.
import type { GenerateOptions } from "../../mod.ts";
import type { NativeStore } from "../../engine/native.ts";
import { greedy, mostProbable, sample } from "../../engine/sampler.ts";
import { goldenModel } from "../parity/golden.ts";
import { assertLikeliest, textOf, withCoded } from "../parity/run.ts";
import { assert, assertEquals, assertGreater, test } from "../harness.ts";
import { assertRefused } from "./support.ts";

const { path, prompts } = goldenModel("llama-gqa8");
const prompt = prompts.find(({ ids }) => ids.length >= 130)!.ids; // a page is seen as codes
const maxTokens = 24;

const withStore = <Result>(body: (store: NativeStore) => Result): Result => withCoded(path, body);

type StepArguments = Parameters<NativeStore["library"]["symbols"]["specache_step"]>;

/** What each call of specache_step on the store is given. */
function stepsSeen(store: NativeStore): StepArguments[] {
  const { symbols } = store.library;
  const seen: StepArguments[] = [];
  const watched: typeof symbols = Object.create(symbols, {
    specache_step: {
      value: (...args: StepArguments) => {
        seen.push(args);
        return symbols.specache_step(...args);
      },
    },
  });
  Object.defineProperty(store, "library", { value: { ...store.library, symbols: watched } });
  return seen;
}

const greedyRequests: readonly GenerateOptions[] = [
  { guesses: 0, accept: "off" },
  { guesses: 1, accept: "off" },
  { guesses: 3, accept: "off" },
  { guesses: 1, accept: "on" },
  { guesses: 3, accept: "auto" },
];

test("a greedy request lends the library no room for logits; any other does, at each step", () => {
  withStore((store) => {
    const seen = stepsSeen(store);
    const asked = (options: GenerateOptions, draw?: (logits: Float32Array) => number) => {
      seen.length = 0;
      textOf(store, prompt, { maxTokens, ...options }, draw);
      assertGreater(seen.length, 0);
      const asks = seen.map((args) => args.at(-1) !== null); // a buffer for logits
      assert(asks.every((each) => each === asks[0]));
      return asks[0];
    };
    for (const options of greedyRequests) {
      assertEquals(asked(options), false);
      assertEquals(asked({ ...options, temperature: 0.7 }), true);
      assertEquals(asked({ ...options, logprobs: 1 }), true);
      assertEquals(asked({ ...options, presencePenalty: 1 }), true);
      assertEquals(asked(options, () => 1), true);
    }
  });
});

test("steps of as many inputs lend the library the same buffers; what they told stays", () => {
  withStore((store) => {
    const seen = stepsSeen(store);
    const sequence = store.openSequence();
    store.prefill(sequence, prompt, null);
    const logits = new Float32Array(3 * store.vocabulary);
    const step = (inputs: number) => {
      const told = store.step(sequence, prompt.slice(0, inputs), 1, { k: 8, late: "all" }, logits);
      store.keep(sequence, 0);
      return told;
    };
    const [three, copy] = [step(3), structuredClone(step(3))];
    for (const inputs of [1, 2]) step(inputs);
    assertEquals(three, copy);
    const lent = (args: StepArguments) => args.filter((each) => ArrayBuffer.isView(each));
    for (const args of seen) {
      assertEquals(lent(args).length, 5);
      for (const [at, buffer] of lent(args).entries()) assert(buffer === lent(seen[0])[at]);
    }
  });
});

test("greedy text is the same by the library's likeliest tokens as by logits", () => {
  withStore((store) => {
    for (const options of greedyRequests) {
      const all = { maxTokens, ...options };
      const byLogits = textOf(store, prompt, { ...all, logprobs: 1 });
      assertEquals(textOf(store, prompt, all), byLogits);
      const draw = (logits: Float32Array) => sample(logits, greedy, 0);
      assertEquals(textOf(store, prompt, all, draw), byLogits);
    }
  });
});

test("a step tells the largest of its logits, with one input or several", () => {
  withStore((store) => assertLikeliest(store, prompt));
});

test("a largest logit that is not finite is refused alike with and without logits", async () => {
  for (
    const [likeliest, logits] of [
      [{ id: 0xffffffff, logit: -Infinity }, [NaN, NaN, -Infinity]],
      [{ id: 1, logit: Infinity }, [NaN, Infinity, Infinity]],
    ] as const
  ) {
    const sentence = `Cannot sample a token: largest logit ${likeliest.logit} is not finite`;
    await assertRefused(() => mostProbable(likeliest), "data", sentence);
    await assertRefused(() => sample(Float32Array.from(logits), greedy, 0), "data", sentence);
  }
  assertEquals(mostProbable({ id: 7, logit: -3 }), 7);
});
