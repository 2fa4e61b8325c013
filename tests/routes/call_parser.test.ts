import { cpuUsage } from "node:process";
import { type Call, CallParser } from "../../routes/call_parser.ts";
import { assertEquals, assertLess, test } from "../harness.ts";

const names = ["add", "get-time"];
const add = (a: number): Call => ({ name: "add", arguments: JSON.stringify({ a }) });
const json = (a: number, key = "arguments") => `{"name": "add", "${key}": {"a": ${a}}}`;

// Texts, and what they are: text and calls.
const cases: readonly [name: string, text: string, said: string, calls: readonly Call[]][] = [
  ["text", "hello", "hello", []],
  ["no text", "", "", []],
  ["spaces", "  \n", "  \n", []],
  ["text with a tag of another kind", "a <b> c < d", "a <b> c < d", []],
  ["a call of Hermes", `<tool_call>\n${json(1)}\n</tool_call>`, "", [add(1)]],
  ["a call behind text", `I add.\n\n<tool_call>${json(1)}</tool_call>`, "I add.", [add(1)]],
  [
    "two calls and text between them",
    `<tool_call>${json(1)}</tool_call>\nand\n<tool_call>${json(2)}</tool_call>`,
    "and",
    [add(1), add(2)],
  ],
  ["a call that is not closed", `<tool_call>${json(1)}`, "", [add(1)]],
  ["a call that never ends", `<tool_call>{"name": "add"`, `<tool_call>{"name": "add"`, []],
  ["a tag without a call", "<tool_call>hello", "<tool_call>hello", []],
  ["spaces before a tag without a call", "so \n <tool_call> no", "so \n <tool_call> no", []],
  ["two tags and one call", `a <tool_call> <tool_call>${json(1)}`, "a <tool_call>", [add(1)]],
  ["a mark and then a call", `<|python_tag|> <tool_call>${json(1)}`, "<|python_tag|>", [add(1)]],
  ["a tag without a call behind a call", `${json(1)} <tool_call> x`, "<tool_call> x", [add(1)]],
  ["a semicolon of the text behind a call", `${json(1)} ; so`, "; so", [add(1)]],
  ["JSON that is no call behind a call", `${json(1)}; {"a": 1}`, '; {"a": 1}', [add(1)]],
  ["calls of two kinds", `${json(1)}; <tool_call>${json(2)}</tool_call>; `, "", [add(1), add(2)]],
  ["half a tag at the end", "so <tool_", "so <tool_", []],
  [
    "a call of no tool",
    '<tool_call>{"name": "rm"}</tool_call>',
    '<tool_call>{"name": "rm"}</tool_call>',
    [],
  ],
  ["a call of Llama", json(1, "parameters"), "", [add(1)]],
  ["a call of Llama behind its mark", `<|python_tag|>${json(1, "parameters")}`, "", [add(1)]],
  ["two calls of Llama", `${json(1, "parameters")}; ${json(2, "parameters")}`, "", [
    add(1),
    add(2),
  ]],
  ["a list of Mistral", `[${json(1)}, ${json(2)}]`, "", [add(1), add(2)]],
  ["a list of Mistral behind its mark", `[TOOL_CALLS] [${json(1)}]`, "", [add(1)]],
  ["JSON that is no call", '{"name": "Ada"} is she', '{"name": "Ada"} is she', []],
  ["a list that is no call", "[1, 2]", "[1, 2]", []],
  ["an empty list", "[]", "[]", []],
  ["JSON that is not whole", '{"name": "add', '{"name": "add', []],
  ["broken JSON", "{name: add}", "{name: add}", []],
  ["JSON behind text", `so: ${json(1)}`, `so: ${json(1)}`, []],
  ["a call of a function", `{"type": "function", "function": ${json(1)}}`, "", [add(1)]],
  ["a call without arguments", '{"name": "get-time"}', "", [
    { name: "get-time", arguments: "{}" },
  ]],
  ["arguments in a text", '{"name": "add", "arguments": "{\\"a\\": 1}"}', "", [add(1)]],
  [
    "arguments that are no object",
    '{"name": "add", "arguments": 1}',
    [
      '{"name": "add", "arguments": 1}',
    ][0],
    [],
  ],
  ["braces and quotes in arguments", '{"name": "add", "arguments": {"a": "}\\"{"}}', "", [
    { name: "add", arguments: '{"a":"}\\"{"}' },
  ]],
];

function parsed(pieces: readonly string[]): { said: string; calls: readonly Call[] } {
  const parser = new CallParser(names);
  const parts = [...pieces.map((piece) => parser.push(piece)), parser.end()];
  return {
    said: parts.map(({ text }) => text).join(""),
    calls: parts.flatMap(({ calls }) => calls),
  };
}

for (const [name, text, said, calls] of cases) {
  test(`calls are found in ${name}, however it is cut`, () => {
    assertEquals(parsed([text]), { said, calls });
    assertEquals(parsed([...text]), { said, calls });
    for (let at = 1; at < text.length; at++) {
      assertEquals(parsed([text.slice(0, at), text.slice(at)]), { said, calls });
    }
  });
}

test("text that can be no call is told at once", () => {
  const parser = new CallParser(names);
  assertEquals(parser.push("hel").text, "hel");
  assertEquals(parser.push("lo <").text, "lo");
  assertEquals(parser.push("b>").text, " <b>");
});

test("a call of a hundred thousand characters is parsed as it comes", () => {
  const parser = new CallParser(names);
  const text = `{"name": "add", "arguments": {"a": "${"x".repeat(100_000)}"}}`;
  const calls: Call[] = [];
  for (let at = 0; at < text.length; at += 4) {
    calls.push(...parser.push(text.slice(at, at + 4)).calls);
  }
  assertEquals(calls.map(({ arguments: given }) => given.length), [100_008]);
});

const fragments = [
  ...[" ", "\n", "  ", "<", "<tool", "<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[", "]"],
  ...["<|python_tag|>", "{", "}", ";", '"', "a", '{"name": "add"}', "[1]", "\\", "\u00a0"],
];

// Numbers in [0, 1) that are the same each time.
function randomly(seed: number): () => number {
  return () => {
    seed = Math.imul(seed, 1664525) + 1013904223 >>> 0;
    return seed / 2 ** 32;
  };
}

test("text without a call comes back to the last space, and cuts change nothing", () => {
  const random = randomly(1);
  const some = <T>(all: readonly T[]) => all[Math.floor(random() * all.length)];
  for (let at = 0; at < 3000; at++) {
    const text = Array.from({ length: 1 + random() * 12 }, () => some(fragments)).join("");
    const none = new CallParser([]);
    const said = [...text].map((each) => none.push(each).text).join("") + none.end().text;
    assertEquals(said, text);
    const whole = parsed([text]);
    assertEquals(parsed([...text]), whole, text);
    const cut = Math.floor(random() * text.length);
    assertEquals(parsed([text.slice(0, cut), text.slice(cut)]), whole, text);
  }
});

// The time of all pushes: quadratic, it would be minutes.
for (const begin of ["", "a", "<tool_call>", json(1), `${json(1)};`, '{"a": "']) {
  test(`400,000 spaces behind "${begin}" cost no more each than one`, () => {
    const parser = new CallParser(names);
    const before = cpuUsage();
    parser.push(begin);
    for (let at = 0; at < 400_000; at++) parser.push(" ");
    parser.end();
    const { user, system } = cpuUsage(before);
    assertLess((user + system) / 1e6, 10);
  });
}
