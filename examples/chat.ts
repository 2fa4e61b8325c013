// chat.ts MODEL [TEMPLATE_FILE] - answers each line of standard input, in one conversation. Of each
// turn only what is new is read: the session holds the rest.
import { readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { Engine, type Message } from "@specache/specache";

async function main([model, templateFile]: readonly string[]): Promise<void> {
  if (model === undefined) throw new Error("Usage: chat.ts MODEL [TEMPLATE_FILE]");
  await using engine = await Engine.open({
    model,
    contextTokens: 2048,
    chatTemplate: templateFile && readFileSync(templateFile, "utf8"), // else the model's own
  });
  await using session = await engine.session();
  const messages: Message[] = [];
  for await (const line of createInterface({ input: process.stdin })) {
    messages.push({ role: "user", content: line });
    const generation = session.generate({ messages, maxTokens: 128 });
    for await (const piece of generation) process.stdout.write(piece.text);
    const { text, usage } = await generation.result;
    messages.push({ role: "assistant", content: text });
    console.log(`\n(${usage.promptTokens} tokens read, ${usage.cachedTokens} held)`);
  }
}

process.stdout.on("error", () => process.exit()); // who reads may stop reading, as head does
await main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 2;
});
