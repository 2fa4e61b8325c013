// The worker of examples/edge over two real servers, in workerd and in this runtime without FFI.
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import OpenAI from "openai";
import { spawned } from "../cli/command.ts";
import { assert, assertEquals, assertStringIncludes, runtime, test } from "../harness.ts";
import {
  type Counts,
  type Front,
  Hosts,
  inProcess,
  inWorkerd,
  KEY,
  OPERATOR_KEY,
} from "./front.ts";

const FACT = "The code of amber is 44219. The weather is fine.";
const here = runtime === "deno" ? "Deno with --allow-net and --allow-env alone" : "Bun";

function clientOf({ url }: Front): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: KEY, maxRetries: 0 });
}

function asked(content: string, max_tokens: number) {
  return {
    model: "needle",
    messages: [{ role: "user" as const, content }],
    max_tokens,
    temperature: 0,
  };
}

async function until(hosts: Hosts, fact: (counts: Counts[]) => boolean): Promise<void> {
  const end = performance.now() + 60_000;
  while (true) {
    const counts = await hosts.counts();
    if (fact(counts)) return;
    assert(performance.now() < end, `not within 60 s: ${fact} of ${JSON.stringify(counts)}`);
    await new Promise((answer) => setTimeout(answer, 20));
  }
}

for (const [where, start] of [["workerd", inWorkerd], [here, inProcess]] as const) {
  test(`a front in ${where} answers, cancels, keeps prefixes together, loses a host`, async () => {
    await using hosts = await Hosts.start();
    await using front = await start(hosts);
    const client = clientOf(front);
    await starts(client);
    await chats(client);
    await holds(front);
    await shows(front);
    await cancels(hosts, front);
    await keepsTogether(hosts, client);
    await loses(hosts, front);
  });
}

// The first requests come at once: none may wait for what another one began.
async function starts(client: OpenAI): Promise<void> {
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => client.chat.completions.create(asked(FACT, 6))),
  );
  for (const { choices } of answers) assertStringIncludes(choices[0].message.content!, "44219");
}

// Sessions, and a raw store with its bodies of bytes.
async function holds({ url }: Front): Promise<void> {
  const ask = async (path: string, method: string, body?: object) => {
    const headers = { Authorization: `Bearer ${KEY}`, "Content-Type": "application/json" };
    const init = { method, headers, body: body && JSON.stringify(body) };
    const response = await fetch(`${url}/v1/sessions${path}`, init);
    assert(response.ok, `${method} ${path} is answered ${response.status}`);
    return await response.json();
  };
  const { id } = await ask("", "POST", {});
  const { length } = await ask(`/${id}/append`, "POST", { prompt: FACT });
  const told = await ask(`/${id}/generate`, "POST", {
    prompt: " The code of amber is",
    maxTokens: 6,
  });
  assertStringIncludes(told.result.text, "44219");
  assertEquals(told.result.usage.cachedTokens, length);
  assertEquals((await ask("", "GET")).data.length, 1);
  assertEquals(await ask(`/${id}`, "DELETE"), { id, deleted: true });
  const { status, stdout, stderr } = await spawned("examples/store_client.ts", [`${url}/v1`, KEY]);
  assertEquals([status, stderr], [0, ""]);
  assertStringIncludes(stdout, "1900: 1900.0\n");
}

// That hosts are ready, the dashboard's page and its files, and what it is told first.
async function shows({ url }: Front): Promise<void> {
  const ready = await fetch(`${url}/ready`);
  assertEquals([ready.status, await ready.json()], [200, { status: "ready" }]);
  const page = await fetch(url);
  const links = [...(await page.text()).matchAll(/(?:src|href)="(\/dashboard\/[^"]+)"/g)];
  assertEquals([page.status, links.length > 0], [200, true]);
  for (const [, path] of links) {
    const file = await fetch(url + path);
    assertEquals([path, file.status], [path, 200]);
    await file.body?.cancel();
  }
  const events = (key: string) =>
    fetch(`${url}/v1/events`, { headers: { Authorization: `Bearer ${key}` } });
  const refused = await events(KEY);
  assertEquals([refused.status, (await refused.json()).error.code], [403, "operator_only"]);
  const response = await events(OPERATOR_KEY);
  const reader = response.body!.getReader();
  const { value } = await reader.read();
  assertStringIncludes(new TextDecoder().decode(value), `"model":{"name":"needle"}`);
  await reader.cancel();
}

async function chats(client: OpenAI): Promise<void> {
  const whole = await client.chat.completions.create(asked(FACT, 6));
  const text = whole.choices[0].message.content!;
  assertStringIncludes(text, "44219");
  const stream = await client.chat.completions.create({ ...asked(FACT, 6), stream: true });
  let streamed = "";
  for await (const chunk of stream) streamed += chunk.choices[0].delta.content ?? "";
  assertEquals(streamed, text);
  const models = await client.models.list();
  assertEquals(models.data.map(({ id }) => id), ["needle"]);
}

// A client that leaves, of a stream or of a whole answer: no host goes on for nobody.
async function cancels(hosts: Hosts, front: Front): Promise<void> {
  const client = clientOf(front);
  const stream = await client.chat.completions.create({ ...asked(FACT, 3000), stream: true });
  for await (const chunk of stream) if (chunk.choices[0].delta.content) break; // aborts
  await until(hosts, (counts) => areCancelled(counts, 1));
  const socket = await sent(front, JSON.stringify(asked(FACT, 3000)));
  await until(hosts, (counts) => counts.some(({ running }) => running > 0));
  socket.resetAndDestroy();
  await until(hosts, (counts) => areCancelled(counts, 2));
}

// A chat in one packet, and the socket that it went by: workerd sees at once that a connection was
// reset, and one that was closed when it has something to write; Deno.serve neither where a body
// came after its head.
async function sent({ url }: Front, body: string): Promise<Socket> {
  const { port, hostname } = new URL(url);
  const socket = connect({ port: Number(port), host: hostname });
  socket.on("error", () => {});
  await once(socket, "connect");
  const head = [
    ...["POST /v1/chat/completions HTTP/1.1", "Host: front", `Authorization: Bearer ${KEY}`],
    ...["Content-Type: application/json", `Content-Length: ${body.length}`],
  ];
  socket.write(`${head.join("\r\n")}\r\n\r\n${body}`);
  return socket;
}

function areCancelled(counts: readonly Counts[], count: number): boolean {
  const cancelled = counts.reduce((sum, { requests }) => sum + requests.cancelled, 0);
  return cancelled === count && counts.every(({ running }) => running === 0);
}

async function keepsTogether(hosts: Hosts, client: OpenAI): Promise<void> {
  const before = await hosts.counts();
  const long = "The weather was fine. ".repeat(60);
  for (let at = 0; at < 6; at++) {
    await client.chat.completions.create(asked(`${long}${FACT} ${at}`, 1));
  }
  const after = await hosts.counts();
  const more = after.map(({ requests }, at) => requests.ended - before[at].requests.ended);
  assertEquals(more.filter((count) => count > 0), [6]);
}

// Of a host that is killed what had begun is lost, and told; what comes next goes to the other.
async function loses(hosts: Hosts, front: Front): Promise<void> {
  const client = clientOf(front);
  const stream = await client.chat.completions.create({ ...asked(FACT, 3000), stream: true });
  const events = stream[Symbol.asyncIterator]();
  while (!(await events.next()).value.choices[0].delta.content);
  const counts = await hosts.counts();
  const host = counts.findIndex(({ running }) => running > 0);
  await hosts.servers[host][Symbol.asyncDispose]();
  let error = null;
  try {
    while (!(await events.next()).done);
  } catch (cause) {
    error = cause as { code?: string };
  }
  assertEquals(error?.code, "host_gone");
  for (let at = 0; at < 4; at++) {
    const { choices } = await client.chat.completions.create(asked(`${at} ${FACT}`, 6));
    assertStringIncludes(choices[0].message.content!, "44219");
  }
}
