import type { GenerateOptions } from "../../mod.ts";
import { createApp } from "../../routes/app.ts";
import { assert, assertEquals, assertMatch, test } from "../harness.ts";
import { eventsOf, FakeEngine, type FakeOptions, post } from "./fake.ts";

const path = "/v1/responses";
const body = (fields: object) => ({ model: "fake", input: "hi", ...fields });
const tool = { type: "function", name: "add", parameters: { type: "object" }, strict: true };
const call = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>';

async function answered(fields: object, options: FakeOptions = {}) {
  const engine = new FakeEngine(options);
  const response = await createApp(engine).fetch(post(path, body(fields)));
  return { status: response.status, body: await response.json(), asked: engine.asked[0] };
}

async function streamed(fields: object, options: FakeOptions = {}) {
  const engine = new FakeEngine(options);
  const response = await createApp(engine).fetch(post(path, body({ stream: true, ...fields })));
  const text = await response.text();
  const names = [...text.matchAll(/^event: (.*)$/gm)].map(([, name]) => name);
  const events = await eventsOf(new Response(text.replace(/^event: .*\n/gm, "")));
  assertEquals(events.map(({ type }) => type), names);
  assertEquals(events.map((event) => event.sequence_number), [...events.keys()]);
  return events;
}

test("a response has its text in a message, and the usage in OpenAI's words and ours", async () => {
  const { status, body, asked } = await answered({ seed: 3, instructions: "Be brief." });
  assertEquals(status, 200, JSON.stringify(body));
  assertMatch(body.id, /^resp_[0-9a-f-]{36}$/);
  assertEquals([body.object, body.model, body.status], ["response", "fake", "completed"]);
  const [{ id, ...message }] = body.output;
  assertMatch(id, /^msg_/);
  assertEquals(message, {
    type: "message",
    role: "assistant",
    status: "completed",
    content: [{ type: "output_text", text: "hello", annotations: [], logprobs: [] }],
  });
  const { specache, ...usage } = body.usage;
  assertEquals(usage, {
    input_tokens: 25,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: 5,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 30,
  });
  assertEquals(specache.seed, 3);
  assertEquals([body.instructions, body.store, body.error], ["Be brief.", false, null]);
  assertEquals(asked.messages, [
    { role: "system", content: "Be brief." },
    { role: "user", content: "hi" },
  ]);
  assertEquals([asked.maxTokens, asked.temperature], ["rest", 1]);
});

const fields: readonly [fields: object, asked: Partial<GenerateOptions>][] = [
  [{ max_output_tokens: 3 }, { maxTokens: 3 }],
  [{ temperature: 0, top_p: 0.5, k: 8 }, { temperature: 0, topP: 0.5, k: 8 }],
  [{ text: { format: { type: "text" }, verbosity: "medium" } }, { format: undefined }],
  [{ text: { format: { type: "json_object" } } }, { format: "json" }],
  [{ text: { format: { type: "json_schema", name: "a", schema: { type: "null" } } } }, {
    format: { schema: { type: "null" } },
  }],
  [{ tools: [tool] }, {
    tools: [{ type: "function", function: { name: "add", parameters: { type: "object" } } }],
  }],
  [{ tools: [tool], tool_choice: { type: "function", name: "add" } }, {
    toolChoice: { name: "add" },
  }],
  [{ previous_response_id: null, store: true, truncation: "disabled", reasoning: null }, {}],
  [{ include: ["message.output_text.logprobs"], top_logprobs: 2 }, { logprobs: 2 }],
  [{
    input: [
      { role: "developer", content: "a" },
      { type: "message", role: "user", content: [{ type: "input_text", text: "b" }] },
      { type: "message", role: "assistant", id: "m", status: "completed", content: "c" },
      { type: "function_call", call_id: "x", name: "add", arguments: '{"a":1}', id: "f" },
      { type: "function_call", call_id: "y", name: "add", arguments: "{}" },
      { type: "function_call_output", call_id: "x", output: "1" },
    ],
  }, {
    messages: [
      { role: "system", content: "a" },
      { role: "user", content: "b" },
      {
        role: "assistant",
        content: "c",
        tool_calls: [
          { id: "x", type: "function", function: { name: "add", arguments: { a: 1 } } },
          { id: "y", type: "function", function: { name: "add", arguments: {} } },
        ],
      },
      { role: "tool", content: "1", tool_call_id: "x" },
    ],
  }],
];

for (const [given, wanted] of fields) {
  test(`a response takes ${JSON.stringify(given).slice(0, 80)}`, async () => {
    const { status, body, asked } = await answered(given);
    assertEquals(status, 200, JSON.stringify(body));
    for (const [name, value] of Object.entries(wanted)) {
      assertEquals<unknown>(asked[name as keyof GenerateOptions], value);
    }
  });
}

const refused: readonly [fields: object, param: string, sentence: RegExp][] = [
  [{ input: undefined }, "input", /input is missing$/],
  [{ input: [] }, "input", /input \[\] is empty$/],
  [{ input: [{ type: "reasoning" }] }, "input", /./],
  [{ previous_response_id: "resp_1" }, "previous_response_id", /is not supported$/],
  [{ conversation: "a" }, "conversation", /is not supported$/],
  [{ background: true }, "background", /is not supported$/],
  [{ truncation: "auto" }, "truncation", /is not supported$/],
  [{ reasoning: { effort: "low" } }, "reasoning", /is not supported$/],
  [
    { include: ["file_search_call.results"] },
    "include[0]",
    /is none of message\.output_text\.logprobs$/,
  ],
  [{ top_logprobs: 2 }, "top_logprobs", /is given without message.output_text.logprobs/],
  [{ tools: [{ type: "web_search" }] }, "tools[0].type", /web_search is none of function$/],
  [
    { tools: [tool], tool_choice: { type: "function", name: "b" } },
    "tool_choice",
    /none of the to/,
  ],
  [{ text: { format: { type: "xml" } } }, "text.format.type", /is none of text, json_object and/],
  [{ messages: [] }, "messages", /option messages is not known$/],
];

for (const [given, param, sentence] of refused) {
  test(`a response with ${JSON.stringify(given).slice(0, 60)} is refused`, async () => {
    const { status, body, asked } = await answered(given);
    assertEquals([status, asked], [400, undefined], JSON.stringify(body));
    assert(body.error.param.startsWith(param), body.error.param);
    assertMatch(body.error.message, sentence);
  });
}

test("a response that was cut is incomplete, and says why", async () => {
  const { body } = await answered({ max_output_tokens: 2 });
  assertEquals([body.status, body.output[0].status], ["incomplete", "incomplete"]);
  assertEquals(body.incomplete_details, { reason: "max_output_tokens" });
});

test("a response that says nothing is an empty message", async () => {
  const { body } = await answered({}, { text: "" });
  assertEquals(body.output[0].content[0].text, "");
});

test("calls of a response are items of their own", async () => {
  const { body } = await answered({ tools: [tool] }, { text: `Well.\n${call}` });
  const [message, { id, call_id, ...called }] = body.output;
  assertEquals([message.content[0].text, message.status], ["Well.", "completed"]);
  assertMatch(id, /^fc_/);
  assertMatch(call_id, /^[0-9A-Za-z]{9}$/);
  assertEquals(called, {
    type: "function_call",
    name: "add",
    arguments: '{"a":1}',
    status: "completed",
  });
});

test("a response streams events, of which the last has what the whole answer has", async () => {
  const events = await streamed({ seed: 1 });
  assertEquals(events.map(({ type }) => type.replace("response.", "")), [
    ...["created", "in_progress", "output_item.added", "content_part.added"],
    ...Array(5).fill("output_text.delta"),
    ...["output_text.done", "content_part.done", "output_item.done", "completed"],
  ]);
  const deltas = events.filter(({ type }) => type === "response.output_text.delta");
  assertEquals(deltas.map(({ delta }) => delta).join(""), "hello");
  const { response } = events.at(-1);
  assertEquals([response.status, response.usage.output_tokens], ["completed", 5]);
  assertEquals(response.output[0].content[0].text, "hello");
  assertEquals(events[0].response.output, []);
});

test("a response streams calls with their arguments", async () => {
  const events = await streamed({ tools: [tool] }, { text: call });
  assertEquals(events.map(({ type }) => type.replace("response.", "")), [
    ...["created", "in_progress", "output_item.added", "function_call_arguments.delta"],
    ...["function_call_arguments.done", "output_item.done", "completed"],
  ]);
  assertEquals(events[3].delta, '{"a":1}');
  assertEquals(events.at(-1).response.output.length, 1);
});

test("logprobs of a response come with their text", async () => {
  const asked = { include: ["message.output_text.logprobs"], top_logprobs: 1 };
  const { body } = await answered(asked, { text: "h" });
  const [wanted] = body.output[0].content[0].logprobs;
  assertEquals([wanted.token, wanted.logprob, wanted.top_logprobs.length], ["h", -0.5, 1]);
  const events = await streamed(asked, { text: "h" });
  const [delta] = events.filter(({ type }) => type === "response.output_text.delta");
  assertEquals(delta.logprobs, [wanted]);
});

test("a stream of a response that fails ends with response.failed", async () => {
  const events = await streamed({}, { fails: new Error("/home/me") });
  const { type, response } = events.at(-1);
  assertEquals([type, response.status], ["response.failed", "failed"]);
  assertEquals(response.error.code, "internal");
  assert(!JSON.stringify(events).includes("/home"));
});
