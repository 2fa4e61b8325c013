import type { GenerateOptions } from "../../mod.ts";
import { createApp } from "../../routes/app.ts";
import { assert, assertEquals, assertMatch, test } from "../harness.ts";
import { chatBody, eventsOf, FakeEngine, type FakeOptions, post } from "./fake.ts";

const path = "/v1/chat/completions";

async function chat(fields: object, options: FakeOptions = {}) {
  const engine = new FakeEngine(options);
  const response = await createApp(engine).fetch(post(path, chatBody(fields)));
  return { status: response.status, body: await response.json(), asked: engine.asked[0] };
}

async function streamed(fields: object, options: FakeOptions = {}) {
  const engine = new FakeEngine(options);
  const body = chatBody({ stream: true, ...fields });
  const response = await createApp(engine).fetch(post(path, body));
  return { response, events: await eventsOf(response), engine };
}

test("a chat is answered in OpenAI's shape, and usage has our counters", async () => {
  const { status, body, asked } = await chat({});
  assertEquals(status, 200);
  assertMatch(body.id, /^chatcmpl-[0-9a-f-]{36}$/);
  assert(Math.abs(body.created - Date.now() / 1000) < 60);
  assertEquals([body.object, body.model], ["chat.completion", "fake"]);
  assertEquals(body.choices, [{
    index: 0,
    message: { role: "assistant", content: "hello", refusal: null },
    logprobs: null,
    finish_reason: "stop",
  }]);
  const { specache, ...usage } = body.usage;
  assertEquals(usage, {
    prompt_tokens: 8, // "user:hi\n"
    completion_tokens: 5,
    total_tokens: 13,
    prompt_tokens_details: { cached_tokens: 0 },
  });
  assertEquals(specache, {
    seed: asked.seed,
    cached_prompt_tokens: 0,
    cached_generated_tokens: 0,
    near_bytes: 1,
    full_bytes: 2,
    late_rows: 3,
    prefill_ms: 4,
    tokens_per_second: 5,
  });
});

test("a chat without max_tokens may fill the context", async () => {
  assertEquals((await chat({}, { contextTokens: 20 })).asked.maxTokens, "rest");
  const { body } = await chat({}, { contextTokens: 10 });
  assertEquals(body.choices[0].message.content, "he");
  assertEquals(body.choices[0].finish_reason, "length");
});

test("a chat that the context cannot hold is refused before it waits", async () => {
  for (const [fields, tokens] of [[{}, 8], [{ max_tokens: 5 }, 12]] as const) {
    const { status, body } = await chat(fields, { contextTokens: tokens });
    assertEquals([status, body.error.code], [400, "context_length_exceeded"]);
    assertMatch(body.error.message, new RegExp(`8 tokens .* are above contextTokens ${tokens}$`));
  }
  assertEquals((await chat({ max_tokens: 5 }, { contextTokens: 13 })).status, 200);
});

// Fields of a request, and what the engine is asked for by them.
const fields: readonly [fields: object, asked: GenerateOptions][] = [
  [{ max_tokens: 3 }, { maxTokens: 3 }],
  [{ max_completion_tokens: 3 }, { maxTokens: 3 }],
  [{}, { temperature: 1 }],
  [{ temperature: 0, top_p: 0.5 }, { temperature: 0, topP: 0.5 }],
  [{ presence_penalty: -2, frequency_penalty: 2 }, { presencePenalty: -2, frequencyPenalty: 2 }],
  [{ seed: 7 }, { seed: 7 }],
  [{ stop: "." }, { stop: "." }],
  [{ stop: [".", "\n"] }, { stop: [".", "\n"] }],
  [{ logprobs: true }, { logprobs: 1 }],
  [{ logprobs: true, top_logprobs: 2 }, { logprobs: 2 }],
  [{ top_k: 5, min_p: 0.1, repetition_penalty: 1.1 }, {
    topK: 5,
    minP: 0.1,
    repetitionPenalty: 1.1,
  }],
  [{ k: 8, late: { above: 0.1 }, guesses: 2, accept: "off" }, {
    k: 8,
    late: { above: 0.1 },
    guesses: 2,
    accept: "off",
  }],
  [{
    ...{ max_tokens: null, temperature: null, top_p: null, seed: null, stop: null },
    ...{ stream: null, stream_options: null, logprobs: null, top_logprobs: null, n: null },
    ...{ tools: null, response_format: null, logit_bias: null, k: null, late: null },
  }, { temperature: 1, maxTokens: "rest" }],
  [{ n: 1, user: "me", metadata: {}, store: false, tools: [], logit_bias: {} }, {}],
  [{ response_format: { type: "text" }, modalities: ["text"], tool_choice: "none" }, {}],
  [{ response_format: { type: "json_object" } }, { format: "json" }],
  [{ response_format: { type: "json_schema", json_schema: { name: "a", schema: {} } } }, {
    format: { schema: {} },
  }],
  [{ mode: "full" }, { mode: "full" }],
];

for (const [given, wanted] of fields) {
  test(`a chat takes ${JSON.stringify(given)}`, async () => {
    const { status, body, asked } = await chat(given);
    assertEquals(status, 200, JSON.stringify(body));
    const names = Object.keys(wanted) as (keyof GenerateOptions)[];
    const told = Object.fromEntries(names.map((name) => [name, asked[name]]));
    assertEquals<object>(told, { ...wanted });
    assertEquals([asked.topK, asked.k].filter((value) => value === null), []);
  });
}

test("a chat without a seed gets one at random", async () => {
  const seeds = new Set<number>();
  for (let i = 0; i < 4; i++) seeds.add((await chat({})).asked.seed!);
  assert(seeds.size > 1);
});

test("messages become the prompt: developer is system, parts are lines", async () => {
  const { asked } = await chat({
    messages: [
      { role: "developer", content: "a" },
      {
        role: "user",
        name: "me",
        content: [{ type: "text", text: "b" }, { type: "text", text: "c" }],
      },
      { role: "assistant", content: "d", refusal: null },
    ],
  });
  assertEquals(asked.messages, [
    { role: "system", content: "a" },
    { role: "user", content: "b\nc" },
    { role: "assistant", content: "d" },
  ]);
});

const hi = { role: "user", content: "hi" };
const tool = (name: string) => ({ type: "function", function: { name } });
const call = (text: string) => ({
  id: "a",
  type: "function",
  function: { name: "f", arguments: text },
});
const schema = (schema: object) => ({ type: "json_schema", json_schema: { name: "a", schema } });

// Bodies that are refused: the field that the error names, and its sentence.
const refused: readonly [fields: object, param: string, sentence: RegExp][] = [
  [{ model: undefined }, "model", /^Cannot answer: model is missing$/],
  [{ model: 3 }, "model", /model 3 is not a string$/],
  [{ messages: undefined }, "messages", /messages is missing$/],
  [{ messages: [] }, "messages", /messages \[\] is empty$/],
  [{ messages: "hi" }, "messages", /messages hi is not an array$/],
  [{ messages: [hi, 3] }, "messages[1]", /messages\[1\] 3 is not an object$/],
  [{ messages: [{ role: "user" }] }, "messages[0].content", /messages\[0\]\.content is missing$/],
  [{ messages: [{ content: "a" }] }, "messages[0].role", /messages\[0\]\.role is missing$/],
  [{ messages: [{ role: "robot", content: "a" }] }, "messages[0].role", /role robot is none of s/],
  [
    { messages: [{ role: "tool", content: "a" }] },
    "messages[0].tool_call_id",
    /messages\[0\]\.tool_call_id is missing$/,
  ],
  [{ messages: [{ ...hi, tool_call_id: "a" }] }, "messages[0].tool_call_id", /is given by role us/],
  [{ messages: [{ ...hi, content: null }] }, "messages[0].content", /content null is neither a te/],
  [{ messages: [{ ...hi, content: [] }] }, "messages[0].content", /content \[\] is empty$/],
  [
    { messages: [{ ...hi, content: [{ type: "image_url", image_url: { url: "" } }] }] },
    "messages[0].content",
    /is neither a text nor a list of parts of type text$/,
  ],
  [
    { messages: [{ ...hi, tool_calls: [] }] },
    "messages[0].tool_calls",
    /tool_calls \[\] is empty$/,
  ],
  [{ messages: [{ ...hi, tool_calls: [call("{}")] }] }, "messages[0].tool_calls", /by role user$/],
  [
    { messages: [{ role: "assistant", tool_calls: [call("[]")] }] },
    "messages[0].tool_calls[0].function.arguments",
    /arguments \[\] is not a JSON object$/,
  ],
  [{ stream: "yes" }, "stream", /stream yes is not a boolean$/],
  [{ stream_options: {} }, "stream_options", /stream_options is given without stream$/],
  [
    { stream: true, stream_options: { usage: true } },
    "stream_options.usage",
    /option usage of str/,
  ],
  [{ max_tokens: 0 }, "max_tokens", /max_tokens 0 is below 1$/],
  [{ max_tokens: 1.5 }, "max_tokens", /max_tokens 1\.5 is not an integer$/],
  [{ max_tokens: 1e9 }, "max_tokens", /max_tokens 1000000000 is above 16777216$/],
  [{ max_completion_tokens: -1 }, "max_completion_tokens", /-1 is below 1$/],
  [{ max_tokens: 1, max_completion_tokens: 1 }, "max_tokens", /are both given$/],
  [{ temperature: 2.1 }, "temperature", /temperature 2\.1 is above 2$/],
  [{ temperature: -0.1 }, "temperature", /temperature -0\.1 is below 0$/],
  [{ temperature: "1" }, "temperature", /temperature "1" is not a number$/],
  [{ top_p: 1.1 }, "top_p", /top_p 1\.1 is above 1$/],
  [{ presence_penalty: -2.1 }, "presence_penalty", /is below -2$/],
  [{ frequency_penalty: 2.1 }, "frequency_penalty", /is above 2$/],
  [{ seed: -1 }, "seed", /seed -1 is below 0$/],
  [{ seed: 0.5 }, "seed", /seed 0\.5 is not an integer$/],
  [{ stop: "" }, "stop", /stop "" is empty$/],
  [{ stop: Array(17).fill("a") }, "stop", /is neither a text nor a list of at most 16 texts$/],
  [{ stop: "a".repeat(1001) }, "stop", /stop a+\.\.\. is longer than 1000 characters$/],
  [{ logprobs: 3 }, "logprobs", /logprobs 3 is not a boolean$/],
  [{ top_logprobs: 2 }, "top_logprobs", /top_logprobs 2 is given without logprobs$/],
  [{ logprobs: true, top_logprobs: 21 }, "top_logprobs", /top_logprobs 21 is above 20$/],
  [{ n: 0 }, "n", /n 0 is below 1$/],
  [{ n: 9 }, "n", /n 9 is above 8$/],
  [
    { response_format: { type: "xml" } },
    "response_format.type",
    /type xml is none of text, json_object and json_schema$/,
  ],
  [{ response_format: { type: "json_schema" } }, "response_format.json_schema", /is missing$/],
  [
    { response_format: schema({ type: "object", properties: { a: { pattern: "x" } } }) },
    "response_format.json_schema.schema.properties.a.pattern",
    /pattern x is not supported$/,
  ],
  [{ tools: [{ type: "function" }] }, "tools[0].function", /function is missing$/],
  [{ tools: [{ type: "web_search" }] }, "tools[0].type", /web_search is none of function$/],
  [{ tools: [tool("a b")] }, "tools[0].function.name", /name a b is not 1 to 64 of letters/],
  [{ tools: Array(129).fill(tool("f")) }, "tools", /has above 128 entries$/],
  [{ tool_choice: "required" }, "tool_choice", /required is given without tools$/],
  [{ tools: [tool("f")], tool_choice: "some" }, "tool_choice", /is none of none, auto, required/],
  [
    { tools: [tool("f")], tool_choice: { type: "function", function: { name: "g" } } },
    "tool_choice",
    /tool_choice g is none of the tools$/,
  ],
  [{ functions: [{}] }, "functions", /is not supported$/],
  [{ mode: "fast" }, "mode", /mode fast is none of full, paper, specache$/],
  [{ logit_bias: { 3: 1 } }, "logit_bias", /is not supported$/],
  [{ k: -1 }, "k", /k -1 is below 0$/],
  [{ k: 1e30 }, "k", /k 1e\+30 is above 16777216$/],
  [{ max_tokens: 1e30 }, "max_tokens", /max_tokens 1e\+30 is above 16777216$/],
  [
    { repetition_penalty: 0.001 },
    "repetition_penalty",
    /repetition_penalty 0\.001 is below 0\.01$/,
  ],
  [{ guesses: 4 }, "guesses", /guesses 4 is none of auto, 0, 1, 2, 3$/],
  [{ temprature: 1 }, "temprature", /option temprature is not known$/],
];

for (const [given, param, sentence] of refused) {
  const line = JSON.stringify(given).slice(0, 80);
  test(`a chat with ${line} is refused, ${param} named`, async () => {
    const { status, body, asked } = await chat(given);
    assertEquals([status, asked], [400, undefined]);
    assertEquals([body.error.param, body.error.code], [param, "argument"]);
    assertMatch(body.error.message, /^Cannot answer: [^\n]+[^\n.]$/);
    assertMatch(body.error.message, sentence);
  });
}

test("a chat with another model is 404", async () => {
  const { status, body } = await chat({ model: "../../etc/passwd" });
  assertEquals([status, body.error.code, body.error.param], [404, "model_not_found", "model"]);
});

test("a stream has the role, the text, the reason, and [DONE]", async () => {
  const { response, events } = await streamed({});
  assertEquals([response.status, response.headers.get("Content-Type")], [200, "text/event-stream"]);
  assertEquals(events.at(-1), "[DONE]");
  const chunks = events.slice(0, -1);
  assertEquals(new Set(chunks.map(({ id }) => id)).size, 1);
  for (const chunk of chunks) assertEquals(chunk.object, "chat.completion.chunk");
  const choices = chunks.map(({ choices: [choice] }) => choice);
  assertEquals(choices[0].delta, { role: "assistant", content: "", refusal: null });
  assertEquals(choices.slice(1, -1).map(({ delta }) => delta.content).join(""), "hello");
  assertEquals([choices.at(-1).delta, choices.at(-1).finish_reason], [{}, "stop"]);
  assertEquals(choices.slice(0, -1).filter(({ finish_reason }) => finish_reason !== null), []);
});

test("a stream ends with the usage where the request asks for it", async () => {
  const { events } = await streamed({ stream_options: { include_usage: true } });
  const usage = events.at(-2);
  assertEquals(usage.choices, []);
  assertEquals([usage.usage.prompt_tokens, usage.usage.completion_tokens], [8, 5]);
  const { events: without } = await streamed({ stream_options: { include_usage: false } });
  assertEquals(without.filter((event) => event.usage), []);
});

test("logprobs come with their tokens, whole and streamed", async () => {
  const asked = { logprobs: true, top_logprobs: 2 };
  const token = (token: string, logprob: number) => ({
    token,
    logprob,
    bytes: [...new TextEncoder().encode(token)],
  });
  const wanted = [..."hé"].map((text) => ({
    ...token(text, -0.5),
    top_logprobs: [token(text, -0.5), token("A", -1.5)],
  }));
  const { body } = await chat(asked, { text: "hé" });
  assertEquals(body.choices[0].logprobs, { content: wanted, refusal: null });
  const { events } = await streamed(asked, { text: "hé" });
  const told = events.flatMap((event) => event.choices?.[0]?.logprobs?.content ?? []);
  assertEquals(told, wanted);
  const { body: own } = await chat({ logprobs: true }, { text: "h" });
  assertEquals(own.choices[0].logprobs.content[0].top_logprobs, []);
});

test("a stream that fails tells so in OpenAI's shape, and has no [DONE]", async () => {
  const { events, response } = await streamed({}, { fails: new Error("/home/me") });
  assertEquals(response.status, 200);
  assertEquals(events.at(-1).error.type, "server_error");
  assert(!JSON.stringify(events).includes("/home") && !events.includes("[DONE]"));
});
