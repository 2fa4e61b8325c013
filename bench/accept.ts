// accept.ts - what accepting guesses brings: tokens a step and tokens a second on a text that asks
// for a copy, on prose and on code, with accept off, auto and on, in turn in one run. It prints a
// table and, since greedy text of a small model ends in loops, the share of tokens that repeat.
import { tokenizerOf } from "../eval/source.ts";
import { table } from "../eval/table.ts";
import { taskKit } from "../eval/tasks/source.ts";
import { describeModel } from "../engine/model/describe.ts";
import { Engine, type GenerateOptions, type GenerateResult } from "../mod.ts";
import { smollm2 } from "../tools/smollm2.ts";

const TOKENS = 96; // generated
const PASSAGE = 160; // tokens that are to be copied
const PROMPT = 1500;
const ROUNDS = 2; // of all three in turn
const MATCH = 16; // tokens that make a repetition within the answer a loop

const model = await smollm2();
const { source } = await taskKit(model, describeModel(model));
const tokenizer = tokenizerOf(model);
const encode = (text: string) => tokenizer.encode(text, false);

const copy = [
  ...encode("<|im_start|>user\nRepeat this text, word for word.\n\n"),
  ...source.text.slice(20_000, 20_000 + PASSAGE),
  ...encode("<|im_end|>\n<|im_start|>assistant\n"),
  ...source.text.slice(20_000, 20_012), // its beginning is given
];
const prompts: readonly (readonly [name: string, ids: readonly number[]])[] = [
  ["copy", copy],
  ["text", source.text.slice(5_000, 5_000 + PROMPT)],
  ["code", source.code.slice(9_000, 9_000 + PROMPT)],
];
const modes = ["off", "auto", "on"] as const;

await using engine = await Engine.open({ model, contextTokens: PROMPT + TOKENS });
const rows = [["text", "temperature", "accept", "tokens a step", "tokens/s", "of off", "loops"]];
for (const [name, ids] of prompts) {
  for (const temperature of [0, 0.8]) {
    const runs = new Map<string, GenerateResult[]>(modes.map((accept) => [accept, []]));
    for (let round = 0; round < ROUNDS; round++) {
      for (const accept of modes) runs.get(accept)!.push(await run(ids, { temperature, accept }));
    }
    const speed = (accept: string) =>
      Math.max(...runs.get(accept)!.map(({ timing }) => timing.tokensPerSecond));
    for (const accept of modes) {
      const [{ timing, tokens }] = runs.get(accept)!;
      rows.push([
        ...[name, `${temperature}`, accept, timing.tokensPerStep.toFixed(2)],
        ...[speed(accept).toFixed(1), (speed(accept) / speed("off")).toFixed(2)],
        `${Math.round(100 * loops(tokens))} %`,
      ]);
    }
  }
}
console.log(table(rows));

async function run(ids: readonly number[], options: GenerateOptions): Promise<GenerateResult> {
  return await engine.generate({ ids, maxTokens: TOKENS, seed: 1, guesses: 0, ...options }).result;
}

// Tokens whose last MATCH tokens stood in the answer before.
function loops(tokens: readonly number[]): number {
  const seen = new Set<string>();
  let count = 0;
  for (let end = MATCH; end <= tokens.length; end++) {
    const key = `${tokens.slice(end - MATCH, end)}`;
    if (seen.has(key)) count++;
    seen.add(key);
  }
  return count / tokens.length;
}
