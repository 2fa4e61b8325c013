// generate.ts MODEL PROMPT - streams what a model goes on with, and tells what its cache took.
import process from "node:process";
import { Engine } from "@specache/specache";

async function main([model, prompt]: readonly string[]): Promise<void> {
  if (prompt === undefined) throw new Error("Usage: generate.ts MODEL PROMPT");
  await using engine = await Engine.open({
    model,
    contextTokens: 1024,
    notice: (sentence) => console.error(sentence), // the library is built at the first run
  });
  const generation = engine.generate({ prompt, maxTokens: 24 });
  for await (const piece of generation) process.stdout.write(piece.text);

  const { usage, cache } = await generation.result;
  console.log(`\n${usage.completionTokens} tokens, ${cache.nearBytes} bytes near`);
}

process.stdout.on("error", () => process.exit()); // who reads may stop reading, as head does
await main(process.argv.slice(2)).catch((error) => {
  console.error(error.message); // one sentence, with the value and the limit
  process.exitCode = 2;
});
