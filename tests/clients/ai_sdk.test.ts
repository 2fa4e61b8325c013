// The AI SDK (`ai` and `@ai-sdk/openai-compatible` from npm), unchanged, against the shipped model
// behind a port.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { assert, assertEquals, assertRejects, test } from "../harness.ts";
import { FakeEngine } from "../routes/fake.ts";
import { answer, said, serving, servingEngine } from "./served.ts";

const modelOf = (baseURL: string) =>
  createOpenAICompatible({
    name: "specache",
    baseURL,
    apiKey: "key",
    includeUsage: true,
    supportsStructuredOutputs: true,
  })("needle");

const asked = { prompt: said, maxOutputTokens: 6, temperature: 0, maxRetries: 0 };

test("the AI SDK chats, streams, and tells the usage", () =>
  serving(async (url) => {
    const model = modelOf(url);
    const whole = await generateText({ model, ...asked });
    assertEquals([whole.text, whole.finishReason], [answer, "length"]);
    assertEquals(whole.usage.outputTokens, 6);
    const stream = streamText({ model, ...asked });
    let text = "";
    for await (const delta of stream.textStream) text += delta;
    assertEquals(text, answer);
    const usage = await stream.usage;
    assertEquals([usage.outputTokens, usage.inputTokens], [6, whole.usage.inputTokens]);
    const long = { model, ...asked, prompt: said.repeat(8) };
    await generateText(long);
    const { inputTokens, inputTokenDetails } = (await generateText(long)).usage;
    const cached = inputTokenDetails.cacheReadTokens!;
    assert(cached >= 64 && cached < inputTokens!, `${cached} of ${inputTokens}`);
  }));

test("the AI SDK aborts a stream, and the engine is free again", () =>
  serving(async (url, engine) => {
    const left = new AbortController();
    const stream = streamText({
      model: modelOf(url),
      ...asked,
      maxOutputTokens: 900,
      abortSignal: left.signal,
    });
    for await (const _ of stream.textStream) left.abort();
    while ((await engine.stats()).running > 0) await new Promise((later) => setTimeout(later, 1));
  }));

test("the AI SDK gets an object of a schema, hears why one is refused, and has a tool called", () =>
  serving(async (url) => {
    const model = modelOf(url);
    const free = { ...asked, maxOutputTokens: 300, temperature: 1, seed: 3 };
    const schema = z.object({ city: z.enum(["Bonn", "Rome"]), days: z.int().min(1).max(9) });
    const { output } = await generateText({ model, ...free, output: Output.object({ schema }) });
    assert(["Bonn", "Rome"].includes(output.city) && output.days >= 1 && output.days <= 9);
    await assertRejects(
      () =>
        generateText({
          model,
          ...free,
          output: Output.object({ schema: z.object({ a: z.string().regex(/a+/) }) }),
        }),
      Error,
      "schema.properties.a.pattern a+ is not supported",
    );
    const inputSchema = z.object({ city: z.enum(["Bonn", "Rome"]) });
    const { toolCalls, finishReason } = await generateText({
      model,
      ...asked,
      maxOutputTokens: 200,
      tools: { weather: tool({ description: "The weather", inputSchema }) },
      toolChoice: "required",
    });
    assertEquals([finishReason, toolCalls.length, toolCalls[0].toolName], [
      "tool-calls",
      1,
      "weather",
    ]);
    assert(["Bonn", "Rome"].includes((toolCalls[0].input as { city: string }).city));
  }));

test("the AI SDK runs a tool and goes on with its result, whole and streamed", async () => {
  const call = 'I look.\n<tool_call>{"name": "weather", "arguments": {"city": "Bonn"}}</tool_call>';
  for (const streams of [false, true]) {
    const engines = [call, "It rains."].map((text) => new FakeEngine({ text }));
    let turn = 0;
    const engine = Object.assign(new FakeEngine(), {
      generate: (options: Parameters<FakeEngine["generate"]>[0]) =>
        engines[turn++].generate(options),
    });
    await servingEngine(engine, async (url) => {
      const options = {
        model: modelOf(url),
        ...asked,
        maxOutputTokens: 200,
        stopWhen: stepCountIs(3),
        tools: {
          weather: tool({
            description: "The weather",
            inputSchema: z.object({ city: z.string() }),
            execute: ({ city }) => `rain in ${city}`,
          }),
        },
      };
      const text = streams ? await streamText(options).text : (await generateText(options)).text;
      assertEquals(text, "It rains.");
    });
    const [, spoken, result] = engines[1].asked[0].messages!;
    assertEquals([spoken.content, result.role, result.content], [
      "I look.",
      "tool",
      "rain in Bonn",
    ]);
    assertEquals(result.tool_call_id, spoken.tool_calls![0].id);
  }
});
