import type { GenerateOptions } from "../../mod.ts";
import { assertEquals, assertMatch, test } from "../harness.ts";
import { asking } from "./ask.ts";
import { eventsOf, FakeEngine, type FakeOptions, post } from "./fake.ts";
import { createApp } from "../../routes/app.ts";

const path = "/v1/completions";
const body = (fields: object) => ({ model: "fake", prompt: "hi", ...fields });

async function completed(fields: object, options: FakeOptions = {}) {
  const asker = asking({}, { sequences: 16, ...options });
  return { ...await asker.post(path, body(fields)), asked: asker.engine.asked };
}

async function streamed(fields: object, options: FakeOptions = {}) {
  const engine = new FakeEngine({ sequences: 16, ...options });
  const response = await createApp(engine).fetch(post(path, body({ stream: true, ...fields })));
  return await eventsOf(response);
}

test("a completion is answered in OpenAI's shape", async () => {
  const { status, body, asked } = await completed({ seed: 7 });
  assertEquals(status, 200, JSON.stringify(body));
  assertMatch(body.id, /^cmpl-[0-9a-f-]{36}$/);
  assertEquals([body.object, body.model], ["text_completion", "fake"]);
  assertEquals(body.choices, [{ index: 0, text: "hello", logprobs: null, finish_reason: "stop" }]);
  const { specache, ...usage } = body.usage;
  assertEquals(usage, {
    prompt_tokens: 2,
    completion_tokens: 5,
    total_tokens: 7,
    prompt_tokens_details: { cached_tokens: 0 },
  });
  assertEquals([specache.seed, specache.near_bytes], [7, 1]);
  assertEquals([asked[0].prompt, asked[0].maxTokens, asked[0].temperature], ["hi", 16, 1]);
});

// Fields of a request, and what the engine is asked for by them, generation by generation.
const fields: readonly [fields: object, asked: readonly GenerateOptions[]][] = [
  [{ prompt: [1, 2] }, [{ ids: [1, 2] }]],
  [{ prompt: ["a", "b"] }, [{ prompt: "a" }, { prompt: "b" }]],
  [{ prompt: [[1], [2, 3]] }, [{ ids: [1] }, { ids: [2, 3] }]],
  [{ max_tokens: 3, temperature: 0, top_p: 0.5 }, [{ maxTokens: 3, temperature: 0, topP: 0.5 }]],
  [{ n: 2, seed: 5 }, [{ prompt: "hi", seed: 5 }, { prompt: "hi", seed: 6 }]],
  [{ seed: 2 ** 53 - 1, n: 2 }, [{ seed: 2 ** 53 - 1 }, { seed: 0 }]],
  [{ logprobs: 0 }, [{ logprobs: 1 }]],
  [{ logprobs: 3 }, [{ logprobs: 3 }]],
  [{ best_of: 1, echo: false, suffix: null, logit_bias: {}, user: "me" }, [{ prompt: "hi" }]],
  [{ stop: ["a"], k: 8, mode: "full" }, [{ stop: ["a"], k: 8, mode: "full" }]],
];

for (const [given, wanted] of fields) {
  test(`a completion takes ${JSON.stringify(given)}`, async () => {
    const { status, body, asked } = await completed(given);
    assertEquals(status, 200, JSON.stringify(body));
    const told = wanted.map((options, at) =>
      Object.fromEntries(
        Object.keys(options).map((name) => [
          name,
          asked[at][name as keyof GenerateOptions],
        ]),
      )
    );
    assertEquals<object>(told, [...wanted]);
    assertEquals([asked.length, body.choices.length], [wanted.length, wanted.length]);
  });
}

const refused: readonly [fields: object, param: string, sentence: RegExp][] = [
  [{ prompt: undefined }, "prompt", /prompt is missing$/],
  [{ prompt: [] }, "prompt", /prompt \[\] is neither a text nor token ids nor a list of these$/],
  [{ prompt: [[]] }, "prompt[0]", /prompt\[0\] \[\] is empty$/],
  [{ prompt: ["a", 1] }, "prompt[1]", /prompt\[1\] 1 is not a string$/],
  [{ prompt: [-1] }, "prompt[0]", /prompt\[0\] -1 is below 0$/],
  [{ prompt: Array(17).fill("a") }, "prompt", /prompt has 17 prompts, above 16$/],
  [{ echo: true }, "echo", /echo true is not supported$/],
  [{ suffix: "a" }, "suffix", /suffix a is not supported$/],
  [{ best_of: 2 }, "best_of", /best_of 2 is not supported$/],
  [{ logprobs: 21 }, "logprobs", /logprobs 21 is above 20$/],
  [{ logprobs: true }, "logprobs", /logprobs true is not a number$/],
  [{ n: 9 }, "n", /n 9 is above 8$/],
  [{ messages: [] }, "messages", /option messages is not known$/],
  [{ stream_options: {} }, "stream_options", /is given without stream$/],
];

for (const [given, param, sentence] of refused) {
  test(`a completion with ${JSON.stringify(given).slice(0, 60)} is refused`, async () => {
    const { status, body, asked } = await completed(given);
    assertEquals([status, asked.length], [400, 0], JSON.stringify(body));
    assertEquals([body.error.param, body.error.code], [param, "argument"]);
    assertMatch(body.error.message, sentence);
  });
}

test("several prompts with several answers are counted through, each prompt once", async () => {
  const { body } = await completed({ prompt: ["a", "bc"], n: 3, seed: 1 });
  assertEquals(body.choices.map(({ index }: { index: number }) => index), [0, 1, 2, 3, 4, 5]);
  assertEquals([body.usage.prompt_tokens, body.usage.completion_tokens], [3, 30]);
});

test("a completion streams chunks of text, the reason, and the usage", async () => {
  const events = await streamed({ stream_options: { include_usage: true }, max_tokens: 3 });
  assertEquals(events.at(-1), "[DONE]");
  const [usage] = events.slice(-2);
  assertEquals([usage.choices, usage.usage.completion_tokens], [[], 3]);
  const choices = events.slice(0, -2).map(({ choices: [choice] }) => choice);
  assertEquals(choices.map(({ text }) => text), ["h", "e", "l", ""]);
  assertEquals(choices.map((choice) => choice.finish_reason), [null, null, null, "length"]);
  assertEquals(
    new Set(events.slice(0, -1).map(({ object }) => object)),
    new Set(["text_completion"]),
  );
});

test("logprobs of a completion have their tokens' places in the text", async () => {
  const wanted = {
    tokens: ["h", "é"],
    token_logprobs: [-0.5, -0.5],
    top_logprobs: [{ h: -0.5, A: -1.5 }, { é: -0.5, A: -1.5 }],
    text_offset: [0, 1],
  };
  const { body } = await completed({ logprobs: 2 }, { text: "hé" });
  assertEquals(body.choices[0].logprobs, wanted);
  const events = await streamed({ logprobs: 2 }, { text: "hé" });
  const told = events.flatMap((event) => event.choices?.[0]?.logprobs ?? []);
  assertEquals(told.map(({ text_offset }) => text_offset), [[0], [1]]);
  const { body: own } = await completed({ logprobs: 0 }, { text: "h" });
  assertEquals(own.choices[0].logprobs.top_logprobs, [{}]);
});
