// openai.ts URL KEY QUESTION - asks `specache serve` with OpenAI's own client, and streams the
// answer. URL is what the server printed, as http://127.0.0.1:8080/v1; KEY one of its keys, or ""
// where it asks for none.
import process from "node:process";
import OpenAI from "openai";

async function main([baseURL, key, content]: readonly string[]): Promise<void> {
  if (content === undefined) throw new Error("Usage: openai.ts URL KEY QUESTION");
  const client = new OpenAI({ baseURL, apiKey: key || "none" });
  const { data: [model] } = await client.models.list();
  const stream = await client.chat.completions.create({
    model: model.id,
    messages: [{ role: "user", content }],
    max_tokens: 64,
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const { choices, usage } of stream) {
    process.stdout.write(choices[0]?.delta.content ?? "");
    if (!usage) continue; // the last chunk has it
    const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
    console.log(`\n${usage.prompt_tokens} tokens read, ${cached} of them held already`);
  }
}

await main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 2;
});
