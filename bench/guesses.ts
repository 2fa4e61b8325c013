// guesses.ts - how often a guess is the token that then comes, greedy and sampled: many short
// continuations, far memory in a file, since greedy text of a small model soon ends in loops.
// Tokens whose last MATCH tokens stood in the answer before are counted apart, as loops.
//   deno run -A bench/guesses.ts [--continuations 12]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describeModel } from "../engine/model/describe.ts";
import { wilson } from "../eval/statistics.ts";
import { table } from "../eval/table.ts";
import { taskKit } from "../eval/tasks/source.ts";
import { Engine } from "../mod.ts";
import { smollm2 } from "../tools/smollm2.ts";

const TOKENS = 40; // of a continuation
const PROMPT = 1500; // tokens
const MATCH = 8; // tokens that make a repetition within the answer a loop
const K = 64; // exact pairs, in proportion to a prompt this short

class Count {
  made = 0;
  right = 0;
  looped = 0;
  tokens = 0;

  add(made: number, right: number, answer: readonly number[]): void {
    this.made += made;
    this.right += right;
    this.tokens += answer.length;
    const seen = new Set<string>();
    for (let end = MATCH; end <= answer.length; end++) {
      const key = `${answer.slice(end - MATCH, end)}`;
      if (seen.has(key)) this.looped++;
      seen.add(key);
    }
  }
}

const at = process.argv.indexOf("--continuations");
const continuations = at === -1 ? 12 : Number(process.argv[at + 1]);
const model = await smollm2();
const { source } = await taskKit(model, describeModel(model));
const folder = mkdtempSync(join(tmpdir(), "specache-"));
const rows = [["text", "temperature", "guesses", "right", "95 %", "tokens in loops"]];
try {
  await using engine = await Engine.open({
    ...{ model, contextTokens: PROMPT + TOKENS, k: K, slots: 4 * K },
    far: { file: join(folder, "far") },
  });
  for (const [name, ids] of [["text", source.text], ["code", source.code]] as const) {
    const counts = new Map([[0, new Count()], [0.8, new Count()]]);
    for (let number = 0; number < continuations; number++) {
      const from = Math.floor((ids.length - PROMPT) * (number + 0.5) / continuations);
      await using session = await engine.session();
      for (const [temperature, count] of counts) {
        const options = { temperature, seed: number, guesses: 1, accept: "off" } as const;
        const prompt = ids.slice(from, from + PROMPT);
        const before = (await session.stats()).guess;
        const { tokens } = await session.generate({
          ...{ ids: temperature === 0 ? prompt : prompt.slice(-1), maxTokens: TOKENS },
          ...options,
        }).result;
        const { guess } = await session.stats();
        count.add(guess.made - before.made, guess.right - before.right, tokens);
        await session.truncate(PROMPT - 1); // the last token is read again, not the prompt
      }
    }
    for (const [temperature, { made, right, looped, tokens }] of counts) {
      const { low, high } = wilson(right, made);
      rows.push([
        ...[name, `${temperature}`, `${made}`, (right / made).toFixed(3)],
        ...[`${low.toFixed(2)} to ${high.toFixed(2)}`, `${Math.round(100 * looped / tokens)} %`],
      ]);
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(table(rows));
