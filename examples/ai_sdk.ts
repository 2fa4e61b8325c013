// ai_sdk.ts URL KEY QUESTION - asks `specache serve` with the AI SDK, and streams the answer. URL
// is what the server printed, as http://127.0.0.1:8080/v1; KEY one of its keys, or "" where it asks
// for none.
import process from "node:process";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { streamText } from "ai";

async function main([baseURL, key, prompt]: readonly string[]): Promise<void> {
  if (prompt === undefined) throw new Error("Usage: ai_sdk.ts URL KEY QUESTION");
  const specache = createOpenAICompatible({
    name: "specache",
    baseURL,
    apiKey: key || "none",
    includeUsage: true, // of streams too
  });
  const { data: [model] } = await models(baseURL, key);
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {}); // it is raced below
  const { textStream, usage } = streamText({
    model: specache(model.id),
    prompt,
    maxOutputTokens: 64,
    temperature: 0,
    onError: ({ error }) => failed.reject(error),
  });
  for await (const text of textStream) process.stdout.write(text);
  const { inputTokens, outputTokens } = await Promise.race([usage, failed.promise]);
  console.log(`\n${inputTokens} tokens read, ${outputTokens} written`);
}

async function models(url: string, key: string): Promise<{ data: { id: string }[] }> {
  const headers = { authorization: `Bearer ${key}` };
  const response = await fetch(`${url}/models`, { headers }).catch(() => {
    throw new Error(`Cannot reach ${url}; specache serve prints the URL`);
  });
  const body = await response.json();
  if (!response.ok) throw new Error(body.error.message);
  return body;
}

await main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 2;
});
