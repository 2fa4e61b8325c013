// start.ts - `npm start`: builds the library, hides facts in a long real text, asks the shipped
// model for each in modes full, paper and specache, and prints what each cost. --json prints one
// object.

import process from "node:process";
import { buildLibrary } from "./cli/library.ts";
import { bytesText, StatusLine } from "./cli/output.ts";
import { statusOf } from "./cli/run.ts";
import { SpecacheError } from "./engine/errors.ts";
import { type Demo, demo, type DemoProgress } from "./eval/demo.ts";
import { type ModePlan, planLlama3 } from "./eval/llama3.ts";
import { shareText, table } from "./eval/table.ts";

const line = new StatusLine(process.stderr);

async function main(args: readonly string[]): Promise<void> {
  const json = args.includes("--json");
  const unknown = args.find((arg) => arg !== "--json");
  if (unknown !== undefined) {
    throw new SpecacheError("argument", `Cannot start: option ${unknown} is not --json`);
  }
  await buildLibrary(process.stderr);
  const shown = await demo(tell);
  const llama3 = planLlama3(shown.rows.map(({ mode }) => mode));
  if (json) console.log(JSON.stringify({ ...shown, llama3 }, null, 2));
  else console.log(report(shown, llama3));
}

const tell: DemoProgress = (mode, what, done, all) => {
  line.show(`  ${mode.padEnd(8)}  ${done} of ${all} ${what}`);
  if (done === all) line.end();
};

function report({ tokens, facts, device, rows }: Demo, llama3: readonly ModePlan[]): string {
  const measured = rows.map((row) => [
    row.mode,
    bytesText(row.nearBytes),
    row.ratio.toFixed(3),
    `${row.recalled} of ${row.asked}`,
    row.tokensPerSecond.toFixed(0),
    shareText(row.guess.right, row.guess.made),
    shareText(row.fetch.hiddenMs, Object.values(row.fetch).reduce((sum, ms) => sum + ms)),
  ]);
  const planned = llama3.map(({ mode, nearBytes, farBytes, ratio }) => [
    mode,
    bytesText(nearBytes),
    ratio.toFixed(3),
    bytesText(farBytes),
  ]);
  return `
${facts} facts hidden in ${tokens} tokens of real text; far memory in a file.
${device.name}, ${device.isa}, ${device.threads} threads.

${
    table([
      ["mode", "near", "ratio", "recalled", "tokens/s", "guesses right", "fetch hidden"],
      ...measured,
    ])
  }

near: what must be in fast memory; ratio: of a 16-bit cache of the same tokens.
fetch hidden: share of all fetching time that ran beside computation; late rows are not hidden.

The same settings for a Llama-3-8B at 32,768 tokens (planned, not run):

${table([["mode", "near", "ratio", "far"], ...planned])}

Go on with
  npx -y deno@2 task specache generate --model FOLDER_OR_GGUF --prompt "..." --far FILE
  npx -y deno@2 task specache plan --model FOLDER_OR_GGUF --tokens 32768
  README.md, for Engine, Session and KvStore in TypeScript`;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  line.end();
  if (!(error instanceof SpecacheError)) throw error;
  console.error(error.message);
  process.exitCode = statusOf(error);
}
