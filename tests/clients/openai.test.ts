// The `openai` package from npm, unchanged, against the shipped model behind a port.
import OpenAI from "openai";
import type { Engine } from "../../mod.ts";
import { assert, assertEquals, assertRejects, test } from "../harness.ts";
import { FakeEngine } from "../routes/fake.ts";
import { answer, said, serving, servingEngine } from "./served.ts";

const question = {
  model: "needle",
  messages: [{ role: "user" as const, content: said }],
  max_tokens: 6,
  temperature: 0,
};

const clientOf = (baseURL: string) => new OpenAI({ baseURL, apiKey: "key", maxRetries: 0 });

function asking(body: (client: OpenAI, engine: Engine) => Promise<void>): Promise<void> {
  return serving((url, engine) => body(clientOf(url), engine));
}

const parameters = {
  type: "object",
  properties: {
    city: { enum: ["Bonn", "Rome"] },
    days: { type: "integer", minimum: 1, maximum: 9 },
  },
  required: ["city", "days"],
  additionalProperties: false,
} as const;

const tools = [{ type: "function" as const, function: { name: "weather", parameters } }];

test("openai chats, streams, and sees what was cached", () =>
  asking(async (client) => {
    const cold = await client.chat.completions.create(question);
    assertEquals([cold.choices[0].message.content, cold.choices[0].finish_reason], [
      answer,
      "length",
    ]);
    assertEquals(cold.usage?.prompt_tokens_details?.cached_tokens, 0);
    const stream = client.chat.completions.stream({
      ...question,
      stream_options: { include_usage: true },
    });
    assertEquals(await stream.finalContent(), answer);
    const usage = await stream.totalUsage();
    assertEquals([usage.completion_tokens, usage.total_tokens], [6, cold.usage!.total_tokens]);
  }));

test("openai gets several answers that share the reading of their prompt", () =>
  asking(async (client, engine) => {
    const long = { ...question, messages: [{ role: "user" as const, content: said.repeat(20) }] };
    const asked = { ...long, n: 3, temperature: 1, seed: 5, max_tokens: 8 };
    const { choices, usage } = await client.chat.completions.create(asked);
    const alone = [];
    for (const seed of [5, 6, 7]) {
      const chat = await client.chat.completions.create({ ...asked, n: 1, seed });
      alone.push(chat.choices[0].message.content);
    }
    assertEquals(choices.map(({ message }) => message.content), alone);
    assertEquals(usage!.completion_tokens, 24);
    const texts = ["", "", ""];
    for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
      for (const { index, delta } of chunk.choices) texts[index] += delta.content ?? "";
    }
    assertEquals(texts, alone);
    assert((await engine.stats()).prefixes.hits >= 2);
  }));

test("openai aborts a stream, and the engine is free again", () =>
  asking(async (client, engine) => {
    const asked = { ...question, max_tokens: 900, stream: true as const };
    const stream = await client.chat.completions.create(asked);
    for await (const chunk of stream) if (chunk.choices[0].delta.content) break;
    while ((await engine.stats()).running > 0) await new Promise((later) => setTimeout(later, 1));
    assertEquals((await client.chat.completions.create(question)).usage!.completion_tokens, 6);
  }));

test("openai gets JSON of a schema, and calls of a tool that must be, with such arguments", () =>
  asking(async (client) => {
    const asked = { ...question, max_tokens: 300, temperature: 1, seed: 2 };
    const schema = { ...parameters };
    const chat = await client.chat.completions.parse({
      ...asked,
      response_format: { type: "json_schema", json_schema: { name: "a", schema, strict: true } },
    });
    assertEquals(chat.choices[0].finish_reason, "stop");
    const told = JSON.parse(chat.choices[0].message.content!);
    assert(["Bonn", "Rome"].includes(told.city) && told.days <= 9, JSON.stringify(told));
    await assertRejects(
      () =>
        client.chat.completions.create({
          ...asked,
          response_format: {
            type: "json_schema",
            json_schema: { name: "a", schema: { type: "string", pattern: "a+" } },
          },
        }),
      OpenAI.BadRequestError,
      "response_format.json_schema.schema.pattern a+ is not supported",
    );
    for (
      const choice of ["required", { type: "function", function: { name: "weather" } }] as const
    ) {
      const chat = await client.chat.completions.create({ ...asked, tools, tool_choice: choice });
      const [{ message, finish_reason }] = chat.choices;
      assertEquals([finish_reason, message.content], ["tool_calls", null]);
      const [call] = message.tool_calls!;
      assert(call.type === "function");
      const told = JSON.parse(call.function.arguments);
      assert(["Bonn", "Rome"].includes(told.city) && told.days <= 9, JSON.stringify(told));
    }
  }));

test("openai runs a tool and goes on with its result", async () => {
  const call = '<tool_call>{"name": "weather", "arguments": {"city": "Bonn"}}</tool_call>';
  let turn = 0;
  const engines = [call, "It rains."].map((text) => new FakeEngine({ text }));
  const engine = Object.assign(new FakeEngine(), {
    generate: (options: Parameters<FakeEngine["generate"]>[0]) => engines[turn++].generate(options),
  });
  await servingEngine(engine, async (url) => {
    const runner = clientOf(url).chat.completions.runTools({
      ...question,
      max_tokens: 100,
      stream: true,
      tools: [{
        type: "function",
        function: {
          name: "weather",
          description: "The weather",
          parameters: { type: "object", properties: { city: { type: "string" } } },
          parse: JSON.parse,
          function: ({ city }: { city: string }) => `rain in ${city}`,
        },
      }],
    });
    assertEquals(await runner.finalContent(), "It rains.");
  });
  const [, , result] = engines[1].asked[0].messages!;
  assertEquals([result.role, result.content], ["tool", "rain in Bonn"]);
});

test("openai completes prompts, by text and by ids", () =>
  asking(async (client, engine) => {
    const prompt = `${said}\nRecall: The code of amber is`;
    const asked = { model: "needle", max_tokens: 6, temperature: 0 };
    const whole = await client.completions.create({ ...asked, prompt, logprobs: 2 });
    assertEquals([whole.choices[0].text, whole.usage!.completion_tokens], [answer, 6]);
    const { tokens, top_logprobs } = whole.choices[0].logprobs!;
    assertEquals([tokens!.join(""), top_logprobs!.length], [answer, 6]);
    const ids = engine.tokenizer!.encode(prompt);
    assertEquals(
      (await client.completions.create({ ...asked, prompt: ids })).choices[0].text,
      answer,
    );
    let text = "";
    for await (const chunk of await client.completions.create({ ...asked, prompt, stream: true })) {
      text += chunk.choices[0].text;
    }
    assertEquals(text, answer);
  }));

test("openai gets responses: whole, streamed, in JSON, and with calls", () =>
  asking(async (client) => {
    const asked = { model: "needle", input: said, max_output_tokens: 6, temperature: 0 };
    const whole = await client.responses.create(asked);
    assertEquals([whole.output_text, whole.status], [answer, "incomplete"]);
    assertEquals(whole.usage!.output_tokens, 6);
    const stream = client.responses.stream(asked);
    let text = "";
    for await (const event of stream) {
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    assertEquals([text, (await stream.finalResponse()).output_text], [answer, answer]);
    const free = { ...asked, max_output_tokens: 200, temperature: 1, seed: 4 };
    const json = await client.responses.parse({
      ...free,
      text: { format: { type: "json_schema", name: "a", schema: { ...parameters } } },
    });
    assertEquals(json.status, "completed");
    assert(["Bonn", "Rome"].includes(JSON.parse(json.output_text).city));
    const [call] = (await client.responses.stream({
      ...free,
      tools: [{ type: "function", name: "weather", parameters, strict: true }],
      tool_choice: "required",
    }).finalResponse()).output;
    assert(call.type === "function_call" && call.name === "weather");
    await assertRejects(
      () => client.responses.create({ ...asked, previous_response_id: "resp_1" }),
      OpenAI.BadRequestError,
      "previous_response_id resp_1 is not supported",
    );
  }));
