// Our own API of `specache serve` in a process of its own: what clients hold open there does not
// keep it from ending.
import { Folder } from "./command.ts";
import { assert, assertEquals, assertMatch, test } from "../harness.ts";
import { Server, template } from "./server.ts";

const store = { layers: 1, kvHeads: 1, queryHeads: 2, headDim: 16, contextTokens: 256 };

async function ask(url: string, path: string, body?: object): Promise<Response> {
  const headers = { "Content-Type": "application/json" };
  const init = { method: "POST", headers, body: JSON.stringify(body) };
  return await fetch(`${url}${path}`, body === undefined ? {} : init);
}

test("specache serve has sessions, stores and metrics, and ends with them open", async () => {
  using folder = new Folder();
  await using server = await Server.start(folder.file("template", template));
  const { url } = server;
  const { id } = await (await ask(url, "/sessions", {})).json();
  const prompt = "The code of amber is 44219. The weather is fine. The code of amber is";
  const answer = await ask(url, `/sessions/${id}/generate`, { prompt, maxTokens: 6 });
  assertMatch((await answer.json()).result.text, /^ 44219/);

  const opened = await ask(url, "/stores", store);
  assertEquals(opened.status, 201);
  const path = `/stores/${(await opened.json()).id}`;
  const shapes = "keys=3,1,16&values=3,1,16&queries=3,2,16";
  const outputs = await fetch(`${url}${path}/prefill?layer=0&dtype=f32&${shapes}`, {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream" },
    body: new Float32Array(3 * 64).fill(0.5),
  });
  assertEquals((await outputs.arrayBuffer()).byteLength, 3 * 32 * 4);
  const metrics = await (await fetch(url.replace("/v1", "/metrics"))).text();
  assert(metrics.includes('specache_http_requests_total{route="/v1/stores",status="201"} 1'));
  assertEquals(await server.end("SIGTERM"), 0);
});

test("specache serve --store-bytes has stores of so many bytes together, of 0 none", async () => {
  using folder = new Folder();
  const file = folder.file("template", template);
  const cases = [["0", "unsupported"], ["1000", "argument"]] as const;
  await Promise.all(cases.map(async ([bytes, code]) => {
    await using server = await Server.start(file, ["--store-bytes", bytes]);
    const answer = await ask(server.url, "/stores", store);
    assertEquals([answer.status, (await answer.json()).error.code], [400, code]);
  }));
});

test("specache serve --operator-key-file names who reads what all keys do", async () => {
  using folder = new Folder();
  const file = folder.file("template", template);
  const keys = ["--api-key-file", folder.file("keys", "anna\nbert\n")];
  const operator = ["--operator-key-file", folder.file("operator", "\nolga\n")];
  const cases = [
    { flags: keys, told: { anna: 403, bert: 403, olga: 401 } },
    { flags: [...keys, ...operator], told: { anna: 403, bert: 403, olga: 200 } },
    { flags: operator, told: { anna: 401, olga: 200 } },
  ];
  await Promise.all(cases.map(async ({ flags, told }) => {
    await using server = await Server.start(file, flags);
    for (const [key, status] of Object.entries(told)) {
      const headers = { Authorization: `Bearer ${key}` };
      const answer = await fetch(server.url.replace("/v1", "/metrics"), { headers });
      const text = await answer.text();
      assertEquals([key, answer.status], [key, status], text);
      if (status === 403) assertMatch(text, /--operator-key-file/);
      const stats = await fetch(`${server.url}/stats`, { headers });
      assertEquals("promptTokens" in await stats.json(), status === 200);
    }
  }));
});
