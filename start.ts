// start.ts - `npm start`: builds the library, hides facts in a long real text, asks the shipped
// model for each in modes full, paper and specache, and prints what each cost. --json prints one
// object.

import process from "node:process";
import { SpecacheError } from "./engine/errors.ts";
import { type Demo, demo, type DemoProgress } from "./eval/demo.ts";
import { type ModePlan, planLlama3 } from "./eval/llama3.ts";
import { bytesText, shareText, table } from "./eval/table.ts";
import { build } from "./ffi/build.ts";
import { buildFolder, nativeFolder } from "./ffi/library.ts";

const say = (text: string) => console.error(text);
const terminal = process.stderr.isTTY === true;

async function main(args: readonly string[]): Promise<void> {
  const json = args.includes("--json");
  const unknown = args.find((arg) => arg !== "--json");
  if (unknown !== undefined) {
    throw new SpecacheError("argument", `Cannot start: option ${unknown} is not --json`);
  }
  say("Building the native library (once; half a minute to a minute)");
  const progress = (file: string) => overwrite(`  ${file}`);
  await build({ native: nativeFolder, output: buildFolder(), progress });
  endLine();
  const shown = await demo(tell);
  const llama3 = planLlama3(shown.rows.map(({ mode }) => mode));
  if (json) console.log(JSON.stringify({ ...shown, llama3 }, null, 2));
  else console.log(report(shown, llama3));
}

const tell: DemoProgress = (mode, what, done, all) => {
  overwrite(`  ${mode.padEnd(8)}  ${done} of ${all} ${what}`);
  if (done === all) endLine();
};

let lastLine = "";

// A terminal sees a line change; a log gets the last state of each.
function overwrite(text: string): void {
  if (terminal) process.stderr.write(`\r${text.padEnd(lastLine.length)}`);
  lastLine = text;
}

function endLine(): void {
  if (lastLine !== "") process.stderr.write(terminal ? "\n" : `${lastLine}\n`);
  lastLine = "";
}

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
  deno task specache generate --model FOLDER_OR_GGUF --prompt "..." --far FILE
  deno task specache plan --model FOLDER_OR_GGUF --tokens 32768
  README.md, for Engine, Session and KvStore in TypeScript`;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  endLine();
  if (!(error instanceof SpecacheError)) throw error;
  say(error.message);
  process.exitCode = error.code === "argument" || error.code === "unsupported" ? 2 : 1;
}
