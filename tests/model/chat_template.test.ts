// Chat templates against Python's jinja2 set up as transformers does, and where they come from.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Message, Tool } from "../../engine/conversation.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { ChatTemplate, readChatSource } from "../../engine/model/chat_template.ts";
import { describeModel, type ModelDescription } from "../../engine/model/describe.ts";
import {
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
  assertThrows,
  test,
} from "../harness.ts";
import { ggufBytes, golden, withFolder } from "./files.ts";

interface Row {
  readonly name: string;
  readonly template: string;
  readonly messages: readonly Message[];
  readonly tokens: Readonly<Record<string, string>>;
  readonly answers: boolean;
  readonly text?: string;
  readonly error?: string;
}

const rows: readonly Row[] = JSON.parse(readFileSync(join(golden, "chat_templates.json"), "utf8"));

for (const { name, template, messages, tokens, answers, text, error } of rows) {
  const roles = messages.map(({ role }) => role).join(", ");
  test(`template "${name}" of ${roles}${answers ? "" : ", without a turn to come"}`, () => {
    const render = () => new ChatTemplate({ template, tokens }, "m").render(messages, answers);
    if (error === undefined) assertEquals(render(), text);
    else assertRefused(render, "argument", `m refuses it: ${error}`);
  });
}

function assertRefused(call: () => unknown, code: string, words: string): void {
  const error = assertThrows(call);
  assertInstanceOf(error, SpecacheError);
  assertEquals(error.code, code);
  assertStringIncludes(error.message, words);
}

test("a template that is not understood is refused by name of the model and fault", () => {
  for (const template of ["{% for %}", "{% if a %}", "{{ 'a", "{% nonsense %}"]) {
    const read = () => new ChatTemplate({ template, tokens: {} }, "m");
    assertRefused(read, "unsupported", "the template of model m is not understood (");
  }
});

const description = describeModel(join(golden, "llama-plain"));

function sourceOf(
  files: Record<string, unknown>,
  own?: string,
  ids: Partial<ModelDescription> = {},
): ReturnType<typeof readChatSource> {
  let source = null as ReturnType<typeof readChatSource>;
  withFolder((folder) => {
    for (const [name, content] of Object.entries(files)) {
      const text = typeof content === "string" ? content : JSON.stringify(content);
      writeFileSync(join(folder, name), text);
    }
    source = readChatSource(folder, { ...description, bos: null, eos: [], ...ids }, own);
  });
  return source;
}

test("a folder's template is that of its own file, else tokenizer_config.json's", () => {
  const config = { chat_template: "config", bos_token: "<s>", eos_token: { content: "</s>" } };
  const tokens = { bos_token: "<s>", eos_token: "</s>" };
  assertEquals(sourceOf({ "tokenizer_config.json": config }), { template: "config", tokens });
  const both = { "tokenizer_config.json": config, "chat_template.jinja": "file" };
  assertEquals(sourceOf(both), { template: "file", tokens });
  assertEquals(sourceOf(both, "mine"), { template: "mine", tokens });
  const list = [{ name: "tool_use", template: "tools" }, { name: "default", template: "plain" }];
  const several = { "tokenizer_config.json": { chat_template: list } };
  assertEquals(sourceOf(several), { template: "plain", toolTemplate: "tools", tokens: {} });
  assertEquals(sourceOf(several, "mine"), { template: "mine", tokens: {} });
});

test("a folder without a template has none; special tokens may be in tokenizer.json", () => {
  assertEquals(sourceOf({}), null);
  assertEquals(sourceOf({ "tokenizer_config.json": { chat_template: null } }), null);
  const files = {
    "tokenizer.json": { added_tokens: [{ id: 4, content: "<a>" }, { id: 7, content: "<b>" }] },
    "tokenizer_config.json": { pad_token: "<p>", bos_token: null },
  };
  const tokens = { bos_token: "<a>", eos_token: "<b>", pad_token: "<p>" };
  assertEquals(sourceOf(files, "mine", { bos: 4, eos: [7, 9] }), { template: "mine", tokens });
});

test("a template of another kind is refused", () => {
  for (const chat_template of [5, {}, [], [{ name: "other", template: "x" }], [null]]) {
    const read = () => sourceOf({ "tokenizer_config.json": { chat_template } });
    assertRefused(read, "file", "chat_template is neither a text nor a list");
  }
});

test("a GGUF file's template and special tokens are in its metadata", () => {
  withFolder((folder) => {
    const path = join(folder, "model.gguf");
    const fields = {
      "tokenizer.ggml.tokens": ["a", "<s>", "</s>"],
      "tokenizer.ggml.bos_token_id": 1,
      "tokenizer.ggml.eos_token_id": 2,
      "tokenizer.ggml.padding_token_id": 99,
    };
    const tokens = { bos_token: "<s>", eos_token: "</s>" };
    writeFileSync(path, ggufBytes({ ...fields, "tokenizer.chat_template": "x" }));
    assertEquals(readChatSource(path, description, undefined), { template: "x", tokens });
    const toolTemplate = { "tokenizer.chat_template.tool_use": "y" };
    writeFileSync(path, ggufBytes({ ...fields, "tokenizer.chat_template": "x", ...toolTemplate }));
    const both = { template: "x", toolTemplate: "y", tokens };
    assertEquals(readChatSource(path, description, undefined), both);
    writeFileSync(path, ggufBytes(fields));
    assertEquals(readChatSource(path, description, undefined), null);
  });
});

const messages: readonly Message[] = [
  { role: "user", content: "Weather?" },
  {
    role: "assistant",
    content: "",
    tool_calls: [{
      id: "abc123xyz",
      type: "function",
      function: { name: "weather", arguments: { city: "Bonn", days: [1] } },
    }],
  },
  { role: "tool", content: "rain", tool_call_id: "abc123xyz", name: "weather" },
];
const tools: readonly Tool[] = [{
  type: "function",
  function: { name: "weather", parameters: { type: "object", properties: {} } },
}];

test("a template is told of tools, of calls and of their results", () => {
  const template = "{% if tools %}{% for t in tools %}{{ t.function | tojson }}|{% endfor %}" +
    "{% endif %}{% for m in messages %}{{ m.role }}{% if m.tool_calls %}" +
    "{% for c in m.tool_calls %} {{ c.id }} {{ c.function.name }}" +
    " {{ c.function.arguments | tojson }}{% endfor %}{% elif m.role == 'tool' %}" +
    " {{ m.tool_call_id }} {{ m.name }} {{ m.content }}{% else %} {{ m.content }}{% endif %}" +
    "|{% endfor %}";
  const chat = new ChatTemplate({ template, tokens: {} }, "m");
  const told = 'assistant abc123xyz weather {"city": "Bonn", "days": [1]}|' +
    "tool abc123xyz weather rain|";
  assertEquals(chat.render(messages, true), `user Weather?|${told}`);
  const listed = '{"name": "weather", "parameters": {"type": "object", "properties": {}}}|';
  assertEquals(chat.render(messages, true, tools), `${listed}user Weather?|${told}`);
});

test("tools have the template that is theirs, and none that says nothing of them", () => {
  const source = { template: "plain", toolTemplate: "tools <tool_call>", tokens: {} };
  const chat = new ChatTemplate(source, "m");
  assertEquals([chat.render([], true), chat.render([], true, tools)], [
    "plain",
    "tools <tool_call>",
  ]);
  assertEquals(chat.callStyle, "hermes");
  const plain = new ChatTemplate({ template: "plain", tokens: {} }, "m");
  assertRefused(() => plain.render([], true, tools), "unsupported", "of model m knows no tools");
  const broken = () => new ChatTemplate({ ...source, toolTemplate: "{% if %}" }, "m");
  assertRefused(broken, "unsupported", "the template of model m is not understood (");
});
