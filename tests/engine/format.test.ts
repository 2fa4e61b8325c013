// Texts that are held to a format: always of it, and the same however they are guessed.
import { needleModel } from "../../eval/source.ts";
import { describeModel } from "../../engine/model/describe.ts";
import { loadTokenizer } from "../../engine/model/tokenizer.ts";
import type { JsonSchema } from "../../engine/constrain/schema.ts";
import type { Engine, Format, GenerateOptions } from "../../mod.ts";
import { goldenModel } from "../parity/golden.ts";
import { assert, assertEquals, assertGreater, assertLess, assertMatch, test } from "../harness.ts";
import { assertRefused, openNeedle, promptIds, withEngine } from "./support.ts";

const person: Format = {
  schema: {
    type: "object",
    properties: {
      city: { enum: ["Bonn", "Rome"] },
      days: { type: "integer", minimum: 1, maximum: 99 },
      tags: { type: "array", items: { enum: ["a", "b"] }, maxItems: 3 },
    },
    required: ["city", "days", "tags"],
    additionalProperties: false,
  },
};

function checkPerson(text: string): void {
  const { city, days, tags, ...rest } = JSON.parse(text);
  assert(["Bonn", "Rome"].includes(city) && days >= 1 && days <= 99 && tags.length <= 3, text);
  assertEquals(rest, {});
}

async function generated(engine: Engine, options: GenerateOptions) {
  const { text, stop, tokens } = await engine.generate({
    ids: promptIds,
    maxTokens: 90,
    ...options,
  }).result;
  return { text, stop, tokens };
}

test("a text is what its schema says, greedily, at random and behind filters", () =>
  withEngine({}, async (engine) => {
    for (
      const options of [
        {},
        { temperature: 1, seed: 1 },
        { temperature: 1.5, seed: 2, topK: 3 },
        { temperature: 1, seed: 3, topP: 0.1, minP: 0.2 },
        { temperature: 1, seed: 4, repetitionPenalty: 1.5, presencePenalty: 2 },
        { logprobs: 3 },
      ]
    ) {
      const { text, stop } = await generated(engine, { format: person, ...options });
      assertEquals(stop, "eos", text);
      checkPerson(text);
    }
  }));

test("a text of a format does not depend on what was guessed", () =>
  withEngine({ far: "file" }, async (engine) => {
    const asked: GenerateOptions[] = [
      { format: person, temperature: 1, seed: 8 },
      { format: person, temperature: 1, seed: 8, topP: 0.9 },
      { format: "json", temperature: 0.8, seed: 8, maxTokens: 60 },
    ];
    for (const options of asked) {
      const alone = await generated(engine, { ...options, guesses: 0, accept: "off" });
      for (const guesses of [1, 3] as const) {
        for (const accept of ["off", "on"] as const) {
          assertEquals(await generated(engine, { ...options, guesses, accept }), alone);
        }
      }
    }
  }));

test("requests of several formats run together, each as alone", async () => {
  await using engine = await openNeedle({ sequences: 3 });
  const formats: GenerateOptions[] = [{ format: person }, { format: "json", maxTokens: 40 }, {}];
  const asked = formats.map((each) => ({ temperature: 1, seed: 5, ...each }));
  const alone = [];
  for (const each of asked) alone.push(await generated(engine, each));
  assertEquals(await Promise.all(asked.map((each) => generated(engine, each))), alone);
});

test("a text that is cut is the beginning of what it would be", () =>
  withEngine({}, async (engine) => {
    const whole = await generated(engine, { format: person, temperature: 1, seed: 6 });
    const cut = await generated(engine, { format: person, temperature: 1, seed: 6, maxTokens: 5 });
    assertEquals([cut.stop, cut.tokens], ["length", whole.tokens.slice(0, 5)]);
  }));

test("a session goes on freely behind a format, and with another one", () =>
  withEngine({ contextTokens: 1024 }, async (engine) => {
    await using session = await engine.session();
    await session.append({ ids: promptIds });
    const ask = async (options: GenerateOptions) =>
      await session.generate({ maxTokens: 90, temperature: 1, seed: 7, ...options }).result;
    checkPerson((await ask({ format: person })).text);
    assertEquals((await ask({ prompt: " and", maxTokens: 8 })).tokens.length, 8);
    const { text } = await ask({ prompt: ": ", format: { schema: { const: "x" }, begin: "= " } });
    assertEquals(text, '= "x"');
  }));

test("logprobs of a format are the model's own", () =>
  withEngine({}, async (engine) => {
    const ask = { ids: promptIds, maxTokens: 20, format: person, logprobs: 3 };
    const { tokenLogprobs, logprobs } = await engine.generate(ask).result;
    for (const [at, own] of tokenLogprobs!.entries()) {
      assert(Number.isFinite(own) && own <= 0);
      for (const [, each] of logprobs![at]) assert(Number.isFinite(each) && each <= 0);
    }
    // Whoever begins with a brace after prose is not what the model would have written.
    assertGreater(logprobs![0][0][1], tokenLogprobs![0]);
  }));

const chatTemplate = "{% for m in messages %}{{ m.content }}\n{% endfor %}" +
  "{% if tools %}{{ tools | tojson }}<tool_call>{% endif %}";
const tool = (name: string) => ({
  type: "function" as const,
  function: { name, parameters: (person as { schema: object }).schema as Record<string, unknown> },
});

test("a tool that must be called is called, with arguments of its schema", () =>
  withEngine({ chatTemplate, contextTokens: 1024 }, async (engine) => {
    const messages = [{ role: "user" as const, content: "Where?" }];
    const tools = [tool("visit"), tool("leave")];
    for (const toolChoice of ["required", { name: "leave" }] as const) {
      for (const seed of [1, 2]) {
        const asked = { messages, tools, toolChoice, temperature: 1, seed, maxTokens: 150 };
        const { text, stop } = await engine.generate(asked).result;
        assertEquals(stop, "eos", text);
        const [, json] = text.match(/^<tool_call>\n(.*)\n<\/tool_call>$/s)!;
        const { name, arguments: given } = JSON.parse(json);
        assert(toolChoice === "required" ? /^(visit|leave)$/.test(name) : name === "leave", name);
        checkPerson(JSON.stringify(given));
      }
    }
  }));

test("formats and tools that cannot be had are refused by name", async () => {
  await using engine = await openNeedle({ chatTemplate });
  const messages = [{ role: "user" as const, content: "a" }];
  const refused: readonly [options: GenerateOptions, text: string][] = [
    [{ format: "xml" as "json" }, "format xml"],
    [{ format: { schema: { pattern: "a" } } }, "format.schema.pattern a is not supported"],
    [{ format: { schema: {}, begin: "é" } }, "format.begin é has characters beyond ASCII"],
    [{ format: "json", stop: "}" }, "stop has no use where the text has a format"],
    [{ tools: [tool("a")] }, "tools are given without messages"],
    [{ messages, tools: [] }, "tools [] is empty"],
    [{ messages, tools: [tool("a b")] }, "tools[0].function.name a b is not 1 to 64 of letters"],
    [{ messages, toolChoice: "required" }, "toolChoice required is given without tools"],
    [{ messages, tools: [tool("a")], toolChoice: { name: "b" } }, "toolChoice b is none of the"],
    [{ mode: "full" }, "mode full is not specache, as the engine was opened"],
  ];
  for (const [options, text] of refused) {
    const given = options.messages === undefined ? { ids: promptIds, ...options } : options;
    await assertRefused(() => engine.generate(given).result, "argument", text);
  }
  await using plain = await openNeedle({ chatTemplate: "{{ messages }}" });
  const asked = { messages, tools: [tool("a")] };
  await assertRefused(() => plain.generate(asked).result, "unsupported", "knows no tools");
});

test("a model without a tokenizer has no formats", async () => {
  const { path } = goldenModel("llama-gqa8");
  if (loadTokenizer(path, describeModel(path)) !== null) return;
  await using engine = await openNeedle({ model: path, contextTokens: 64, profile: "none" });
  const ask = { ids: [1, 2], format: "json" as const };
  await assertRefused(() => engine.generate(ask).result, "unsupported", "held to a format");
});

test("a token's bytes, put together, are the text's", () => {
  const tokenizer = loadTokenizer(needleModel, describeModel(needleModel))!;
  const bytes = [...new TextEncoder().encode("The code of é is \u{1f600}\n")];
  const ids = tokenizer.encode("The code of é is \u{1f600}\n", false);
  const level = ids.map((id) => tokenizer.bytes(id)).join("");
  assertEquals(level.length, bytes.length);
  const single = bytes.map((byte) => tokenizer.bytes(2 + byte)); // bos, eos, then all bytes
  assertEquals(level, single.join(""));
  assertEquals([tokenizer.bytes(0), tokenizer.bytes(5000)], ["", ""]);
});

const nested = (depth: number): JsonSchema =>
  depth === 0 ? {} : { type: "array", items: nested(depth - 1), maxItems: 1000 };

test("tokens of others, of another format too, come while a heavy schema is compiled", () =>
  withEngine({ sequences: 3, threads: 1 }, async (engine) => {
    // Time in timers of this thread: those of a process that stands still stand still too.
    let [time, over] = [0, false];
    const came: number[][] = [[], []]; // of each stream, the time of each token
    const timer = setInterval(() => time++, 2);
    const others: GenerateOptions[] = [{}, { format: { schema: { type: "array", items: {} } } }];
    const streams = others.map(async (other, at) => {
      for (let seed = 1; !over; seed++) {
        const asked = { ids: promptIds.slice(0, 9), maxTokens: 90, temperature: 1, seed, ...other };
        for await (const _ of engine.generate(asked)) came[at].push(time);
      }
    });
    while (came.some(({ length }) => length === 0)) await new Promise((on) => setTimeout(on, 2));
    const started = time;
    try {
      const format = { schema: { anyOf: [nested(10), nested(12)] } };
      const heavy = engine.generate({ ids: [5, 6, 7], maxTokens: 1, format }).result;
      // A slow machine may need above the limit: what the others do meanwhile is the same.
      await heavy.catch((error) => assertMatch(String(error), /takes above 5000 ms/));
    } finally {
      over = true;
      clearInterval(timer);
      await Promise.all(streams);
    }
    // Compiled where requests run, it would keep them for a third of the time.
    for (const times of came) {
      const all = [started, ...times.filter((each) => each > started), time];
      const gaps = all.slice(1).map((each, at) => each - all[at]);
      assertLess(Math.max(...gaps), (time - started) / 5);
    }
  }));

test("a request of a format that was given up before its turn draws no token", () =>
  withEngine({}, async (engine) => {
    const asked = { ids: [5, 6, 7], maxTokens: 20, format: person, signal: AbortSignal.abort() };
    const { stop, tokens } = await engine.generate(asked).result;
    assertEquals([stop, tokens], ["cancelled", []]);
  }));

test("requests without a format do not wait for a schema that takes long", () =>
  withEngine({ sequences: 2 }, async (engine) => {
    const schema = { anyOf: Array.from({ length: 13 }, () => nested(14)) };
    let told = false;
    const sentence = "takes above 5000 ms to be compiled";
    const late = assertRefused(
      () => engine.generate({ ids: promptIds, format: { schema } }).result,
      "argument",
      sentence,
    ).finally(() => told = true);
    for (const seed of [1, 2, 3]) {
      const { tokens } = await engine.generate({ ids: promptIds, maxTokens: 9, seed }).result;
      assertEquals([tokens.length, told], [9, false]);
    }
    await late;
  }));
