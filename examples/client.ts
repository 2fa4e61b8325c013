// client.ts URL KEY QUESTION - asks `specache serve` with fetch, and streams the answer. URL is
// what it printed, as http://127.0.0.1:8080/v1; KEY one of its keys, or "" where it asks for none.
import process from "node:process";

const [, , url, key, content] = process.argv;

async function ask(path: string, init?: RequestInit): Promise<Response> {
  const headers = { "content-type": "application/json", authorization: `Bearer ${key}` };
  const response = await fetch(url + path, { ...init, headers });
  if (response.ok) return response;
  throw new Error(`${response.status}: ${await response.text()}`);
}

const { data: models } = await (await ask("/models")).json();
const response = await ask("/chat/completions", {
  method: "POST",
  body: JSON.stringify({
    model: models[0].id,
    messages: [{ role: "user", content }],
    max_tokens: 64,
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
