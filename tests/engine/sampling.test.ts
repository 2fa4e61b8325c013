// Samplers at work in an engine: what a request gives does not depend on guesses, nor on the
// requests that a text was made in; probabilities of drawn tokens are the model's.
import type { Engine, GenerateOptions } from "../../mod.ts";
import { assert, assertEquals, assertGreater, assertNotEquals, test } from "../harness.ts";
import { answerOf, asked, FOLLOWING, promptIds, withEngine } from "./support.ts";

const filtered = { temperature: 1.2, seed: 6, topK: 40, topP: 0.95, minP: 0.001 };
const penalties = { repetitionPenalty: 1.1, presencePenalty: 0.2, frequencyPenalty: 0.1 };
const samplings: readonly GenerateOptions[] = [
  filtered,
  penalties,
  { ...filtered, ...penalties },
  // It pays to repeat what was generated: guesses of the text are accepted.
  { presencePenalty: -1.5, frequencyPenalty: -0.3, temperature: 0.8 },
];

const GENERATED = 40;
const repeated = [...promptIds.slice(0, 40), ...promptIds.slice(0, 40), ...promptIds.slice(0, 30)];

async function run(engine: Engine, options: GenerateOptions) {
  return await engine.generate({ ids: repeated, maxTokens: GENERATED, logprobs: 3, ...options })
    .result;
}

test("filters and penalties give one text for any number of guesses, accepted or not", () =>
  withEngine({ far: "file", slots: 24 }, async (engine) => {
    let accepted = 0;
    for (const sampling of samplings) {
      const plain = await run(engine, { ...sampling, guesses: 0, accept: "off" });
      for (const [guesses, accept] of [[1, "off"], [3, "off"], [2, "on"]] as const) {
        const given = await run(engine, { ...sampling, guesses, accept });
        assertEquals(answerOf(given), answerOf(plain), `${guesses} ${JSON.stringify(sampling)}`);
        accepted += given.cache.guess.accepted;
      }
    }
    assertGreater(accepted, 0);
  }));

test("without codes each guess is right, whatever filters and penalties", () =>
  withEngine({ mode: "full", guessesMax: 2 }, async (engine) => {
    const ids = promptIds.slice(0, 300); // in the middle of a sentence: nothing to copy
    for (const sampling of samplings.slice(0, 3)) {
      const options = { ids, ...asked, ...sampling, guesses: 2, accept: "off" } as const;
      const { made, bySource } = (await engine.generate(options).result).cache.guess;
      assertEquals(made, FOLLOWING - 1);
      // Behind a lookup that was wrong the chain's next guess follows from a wrong token.
      if (bySource.lookup.made === 0) assertEquals(bySource.chain.right, made);
    }
  }));

test("penalties change the text, and a text made in parts is that of one request", () =>
  withEngine({ mode: "full" }, async (engine) => {
    const plain = await run(engine, {});
    for (const penalty of [penalties, { frequencyPenalty: 2 }, { presencePenalty: 2 }]) {
      const whole = await run(engine, penalty);
      assertNotEquals(whole.tokens, plain.tokens);
      await using session = await engine.session();
      const parts: number[] = [];
      for (const [ids, maxTokens] of [[repeated, 7], [undefined, 1], [undefined, 20]] as const) {
        const { tokens } = await session.generate({ ids, maxTokens, ...penalty }).result;
        parts.push(...tokens);
      }
      assertEquals(parts, whole.tokens.slice(0, parts.length));
    }
  }));

test("presence and frequency do not count a prompt, repetition does", () =>
  withEngine({ mode: "full" }, async (engine) => {
    const first = async (options: GenerateOptions) =>
      (await run(engine, { ...options, maxTokens: 1 })).tokens;
    const plain = await first({});
    assert(repeated.includes(plain[0])); // the model copies
    assertEquals(await first({ presencePenalty: 2, frequencyPenalty: 2 }), plain);
    assertNotEquals(await first({ repetitionPenalty: 3 }), plain);
  }));

test("a drawn token's own logprob is told, of the model's logits, before filters", () =>
  withEngine({ mode: "full" }, async (engine) => {
    const result = await run(engine, { ...filtered, temperature: 3, topK: 0 });
    const all = await run(engine, { ...filtered, temperature: 3, topK: 0, logprobs: 100 });
    assertEquals(all.tokenLogprobs, result.tokenLogprobs);
    let outside = 0;
    for (const [at, id] of result.tokens.entries()) {
      const told = all.logprobs![at].find(([other]) => other === id);
      if (told !== undefined) assertEquals(result.tokenLogprobs![at], told[1]);
      if (!result.logprobs![at].some(([other]) => other === id)) outside++;
    }
    assertGreater(outside, 0);
  }));
