// Tools of a chat: what the engine is told of them, and calls out of its text.
import type { GenerateOptions } from "../../mod.ts";
import { createApp } from "../../routes/app.ts";
import { assertEquals, assertMatch, test } from "../harness.ts";
import { chatBody, eventsOf, FakeEngine, post } from "./fake.ts";

const path = "/v1/chat/completions";
const parameters = { type: "object", properties: { city: { type: "string" } } };
const weather = { type: "function", function: { name: "weather", description: "d", parameters } };
const clock = { type: "function", function: { name: "clock" } };
const given = { tools: [weather, clock] };
const call = (city: string) =>
  `<tool_call>\n{"name": "weather", "arguments": {"city": "${city}"}}\n</tool_call>`;

async function chat(fields: object, text = "hello", stop: "eos" | "length" = "eos") {
  const engine = new FakeEngine({ text, stop });
  const response = await createApp(engine).fetch(post(path, chatBody(fields)));
  const body = await response.json();
  return { status: response.status, body, choice: body.choices?.[0], asked: engine.asked[0] };
}

test("the engine is told of tools, and of a choice among them", async () => {
  const choices: readonly [choice: unknown, asked: Partial<GenerateOptions>][] = [
    [undefined, { tools: given.tools as GenerateOptions["tools"] }],
    ["auto", { tools: given.tools as GenerateOptions["tools"] }],
    ["required", { toolChoice: "required" }],
    [{ type: "function", function: { name: "clock" } }, { toolChoice: { name: "clock" } }],
    ["none", { tools: undefined, toolChoice: undefined }],
    [null, { toolChoice: undefined }],
  ];
  for (const [tool_choice, wanted] of choices) {
    const { asked } = await chat({ ...given, tool_choice });
    for (const [name, value] of Object.entries(wanted)) {
      assertEquals<unknown>(asked[name as keyof GenerateOptions], value);
    }
  }
});

test("a tool's strict and null fields are not passed on", async () => {
  const tool = {
    type: "function",
    function: { name: "f", strict: true, description: null, parameters: null },
  };
  const { asked } = await chat({ tools: [tool] });
  assertEquals(asked.tools, [{ type: "function", function: { name: "f" } }]);
});

test("calls, their results and what was said between reach the template", async () => {
  const { asked } = await chat({
    ...given,
    messages: [
      { role: "user", content: "Weather?" },
      {
        role: "assistant",
        content: null,
        refusal: null,
        annotations: [],
        tool_calls: [{
          id: "abc123xyz",
          type: "function",
          function: { name: "weather", arguments: '{"city":"Bonn"}' },
        }],
      },
      { role: "tool", tool_call_id: "abc123xyz", content: "rain", name: "weather" },
    ],
  });
  assertEquals(asked.messages, [
    { role: "user", content: "Weather?" },
    {
      role: "assistant",
      content: "",
      tool_calls: [{
        id: "abc123xyz",
        type: "function",
        function: { name: "weather", arguments: { city: "Bonn" } },
      }],
    },
    { role: "tool", content: "rain", tool_call_id: "abc123xyz", name: "weather" },
  ]);
});

test("a call becomes tool_calls, with no content beside it", async () => {
  const { choice } = await chat(given, call("Bonn"));
  assertEquals(choice.finish_reason, "tool_calls");
  const { tool_calls: [told], ...message } = choice.message;
  assertEquals(message, { role: "assistant", content: null, refusal: null });
  assertMatch(told.id, /^[0-9A-Za-z]{9}$/);
  const called = { name: "weather", arguments: '{"city":"Bonn"}' };
  assertEquals([told.type, told.function], ["function", called]);
});

test("text before calls stays, and ids differ", async () => {
  const { choice } = await chat(given, `Both:\n${call("Bonn")}\n${call("Rome")}`);
  assertEquals(choice.message.content, "Both:");
  const cities = choice.message.tool_calls.map((each: { function: { arguments: string } }) =>
    JSON.parse(each.function.arguments).city
  );
  assertEquals(cities, ["Bonn", "Rome"]);
  assertEquals(new Set(choice.message.tool_calls.map(({ id }: { id: string }) => id)).size, 2);
});

test("without parallel_tool_calls only the first call is told", async () => {
  const asked = { ...given, parallel_tool_calls: false };
  const { choice } = await chat(asked, `${call("Bonn")}\n${call("Rome")}`);
  assertEquals(choice.message.tool_calls.length, 1);
});

test("a call that was cut is text, and the reason is length", async () => {
  const text = call("Bonn").slice(0, -20);
  const { choice } = await chat({ ...given, max_tokens: text.length }, call("Bonn"));
  assertEquals([choice.finish_reason, choice.message.content], ["length", text]);
  assertEquals(choice.message.tool_calls, undefined);
});

test("an answer that was cut behind a call tells the call, and that it was cut", async () => {
  const text = `${call("Bonn")}\n${call("Rome")}`;
  const { choice } = await chat({ ...given, max_tokens: text.length - 20 }, text);
  assertEquals([choice.finish_reason, choice.message.tool_calls.length], ["length", 1]);
});

test("what looks like a call is text where no tools are given", async () => {
  for (const fields of [{}, { tools: [] }, { ...given, tool_choice: "none" }]) {
    const { choice } = await chat(fields, call("Bonn"));
    assertEquals([choice.message.content, choice.finish_reason], [call("Bonn"), "stop"]);
  }
});

test("a stream tells text at once, and each call as one delta", async () => {
  const engine = new FakeEngine({ text: `So: ${call("Bonn")}${call("Rome")}` });
  const asked = chatBody({ ...given, stream: true });
  const events = await eventsOf(await createApp(engine).fetch(post(path, asked)));
  const choices = events.slice(0, -1).map(({ choices: [choice] }) => choice);
  assertEquals(choices.map(({ delta }) => delta.content ?? "").join(""), "So:");
  const calls = choices.flatMap(({ delta }) => delta.tool_calls ?? []);
  assertEquals(calls.map(({ index, function: { name } }) => [index, name]), [
    [0, "weather"],
    [1, "weather"],
  ]);
  assertEquals(JSON.parse(calls[1].function.arguments), { city: "Rome" });
  assertEquals(choices.at(-1).finish_reason, "tool_calls");
});

test("tokens of a call are told in logprobs, none twice and none lost", async () => {
  const text = `So: ${call("Bonn")}`;
  const engine = new FakeEngine({ text });
  const asked = chatBody({ ...given, stream: true, logprobs: true });
  const events = await eventsOf(await createApp(engine).fetch(post(path, asked)));
  const tokens = events.flatMap((event) => event.choices?.[0]?.logprobs?.content ?? []);
  assertEquals(tokens.map(({ token }) => token).join(""), text);
});
