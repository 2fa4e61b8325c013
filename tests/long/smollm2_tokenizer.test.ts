// smollm2_tokenizer.test.ts - SmolLM2's vocabulary out of its GGUF file against transformers.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeModel } from "../../engine/model/describe.ts";
import { loadTokenizer, type Tokenizer } from "../../engine/model/tokenizer.ts";
import { smollm2 } from "../../tools/smollm2.ts";
import { assertEquals, test } from "../harness.ts";
import { golden } from "../model/files.ts";

interface Golden {
  tokenizer: { text: string; ids: number[]; decoded: string }[];
  chat: { text: string };
  prompts: { name: string; ids: number[]; greedy: number[]; text: string }[];
}

const expected: Golden = JSON.parse(readFileSync(join(golden, "smollm2.json"), "utf8"));

// transformers was asked to keep special tokens in its text; ours leaves them out.
const withoutSpecials = (text: string) => text.replace(/<\|(?:im_start|im_end|endoftext)\|>/g, "");

function streamed(tokenizer: Tokenizer, ids: readonly number[]): string {
  const stream = tokenizer.stream();
  return ids.map((id) => stream.push(id)).join("") + stream.end();
}

function run(name: string, body: (tokenizer: Tokenizer) => void): void {
  test(name, async () => {
    const path = await smollm2();
    body(loadTokenizer(path, describeModel(path))!);
  });
}

run("SmolLM2's ids of odd strings are those of transformers, and so is their text", (tokenizer) => {
  for (const { text, ids, decoded } of expected.tokenizer) {
    assertEquals(tokenizer.encode(text), ids, JSON.stringify(text));
    assertEquals(tokenizer.decode(ids), withoutSpecials(decoded));
    assertEquals(streamed(tokenizer, ids), withoutSpecials(decoded));
  }
});

run("SmolLM2's chat prompt has the ids of transformers", (tokenizer) => {
  const prompt = expected.prompts[0];
  const question = "What is the capital of France?";
  const text = expected.chat.text.replace(question, `${question} Answer in one sentence.`);
  assertEquals(tokenizer.encode(text), prompt.ids);
});

run("SmolLM2's long texts come back from their ids", (tokenizer) => {
  for (const { name, ids, greedy, text } of expected.prompts) {
    assertEquals(tokenizer.decode(greedy), withoutSpecials(text), name);
    assertEquals(streamed(tokenizer, ids), tokenizer.decode(ids), name);
  }
});
