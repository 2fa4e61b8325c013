// client.ts URL KEY QUESTION - asks `specache serve` with fetch, and streams the answer. URL is
// what it printed, as http://127.0.0.1:8080/v1; KEY one of its keys, or "" where it asks for none.
import process from "node:process";

async function main([url, key, content]: readonly string[]): Promise<void> {
  if (content === undefined) throw new Error("Usage: client.ts URL KEY QUESTION");
  const { data: models } = await (await ask(url, key, "/models")).json();
  const response = await ask(url, key, "/chat/completions", {
    method: "POST",
    body: JSON.stringify({
      model: models[0].id,
      messages: [{ role: "user", content }],
      max_tokens: 64,
      temperature: 0,
      stream: true,
    }),
  });

  let rest = ""; // an event that has not come whole
  for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
    const events = (rest + text).split("\n\n");
    rest = events.pop()!;
    for (const event of events) {
      const data = event.replace(/^data: /, "");
      if (data !== "[DONE]") process.stdout.write(JSON.parse(data).choices[0]?.delta.content ?? "");
    }
  }
  console.log();
}

async function ask(url: string, key: string, path: string, init?: RequestInit): Promise<Response> {
  const headers = { "content-type": "application/json", authorization: `Bearer ${key}` };
  const response = await fetch(url + path, { ...init, headers }).catch(() => {
    throw new Error(`Cannot reach ${url}; specache serve prints the URL`);
  });
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  throw new Error(
    body?.error?.message ?? `Cannot ask ${url}${path}: it answers ${response.status}`,
  );
}

await main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 2;
});
