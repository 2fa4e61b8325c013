// A front as its clients see it: createApp of a RemoteEngine, over two servers of fake engines.
import { listen, type Listening } from "../../cli/listen.ts";
import { ensureLibrary, KvStore } from "../../mod.ts";
import { RemoteEngine } from "../../edge/remote.ts";
import { type AppOptions, createApp } from "../../routes/app.ts";
import { Asker } from "../routes/ask.ts";
import { chatBody, eventsOf, FakeEngine, type FakeOptions, post } from "../routes/fake.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
  test,
} from "../harness.ts";
import { spawned } from "../cli/command.ts";
import { until } from "../cli/server.ts";

const HOST_KEY = "key-of-hosts";

/** Two servers and a front with two tenants. */
class Fronted implements AsyncDisposable {
  constructor(
    readonly engines: readonly FakeEngine[],
    readonly servers: readonly Listening[],
    readonly anna: Asker,
    readonly bert: Asker,
  ) {}

  static async start(options: FakeOptions = {}, host: AppOptions = {}): Promise<Fronted> {
    const engines = [new FakeEngine(options), new FakeEngine(options)];
    const servers = [];
    for (const engine of engines) {
      const { fetch } = createApp(engine, { keys: [HOST_KEY], name: "fake", ...host });
      servers.push(await listen(fetch, { hostname: "127.0.0.1", port: 0 }));
    }
    const hosts = servers.map(({ url }) => ({ url, key: HOST_KEY }));
    const engine = await RemoteEngine.open({ hosts });
    const anna = new Asker(createApp(engine, { keys: ["anna", "bert"] }), "anna");
    return new Fronted(engines, servers, anna, anna.as("bert"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.servers) await server.end();
  }
}

const chat = "/v1/chat/completions";

test("a front answers a chat, whole and streamed, as a host would", async () => {
  await using fronted = await Fronted.start();
  const { anna } = fronted;
  const { status, body } = await anna.post(chat, chatBody());
  assertEquals([status, body.choices[0].message.content], [200, "hello"]);
  assertEquals([body.usage.prompt_tokens > 0, body.usage.completion_tokens], [true, 5]);
  const streamed = await anna.post(chat, chatBody({ stream: true }));
  assertEquals(streamed.status, 200);
  const events = await eventsOf(new Response(streamed.body));
  const deltas = events.slice(0, -1).map((event) => event.choices[0].delta.content ?? "");
  assertEquals([deltas.join(""), events.at(-1)], ["hello", "[DONE]"]);
  assertEquals((await anna.get("/v1/models")).body.data[0].id, "fake");
});

test("a front answers completions and responses as well, and several choices", async () => {
  await using fronted = await Fronted.start({ sequences: 4 });
  const { anna } = fronted;
  for (const prompt of ["abc", [97, 98, 99]]) {
    const { body } = await anna.post("/v1/completions", { model: "fake", prompt, max_tokens: 3 });
    assertEquals([body.choices[0].text, body.usage.prompt_tokens], ["hel", 3]);
  }
  const several = await anna.post(chat, chatBody({ n: 3 }));
  assertEquals(several.body.choices.length, 3);
  const { status, body } = await anna.post("/v1/responses", { model: "fake", input: "hi" });
  assertEquals([status, body.output[0].content[0].text], [200, "hello"]);
});

test("a front is opened without any permission", async () => {
  const { status, stdout, stderr } = await spawned("tests/edge/opened.ts", [], true, {}, []);
  assertEquals([status, stdout.trim(), stderr], [0, "200", ""]);
});

test("a front has texts of tokens for logprobs", async () => {
  await using fronted = await Fronted.start();
  const asked = chatBody({ logprobs: true, top_logprobs: 2, max_tokens: 1 });
  const { body } = await fronted.anna.post(chat, asked);
  const [{ token, top_logprobs }] = body.choices[0].logprobs.content;
  assertEquals([token, top_logprobs.map(({ token }: { token: string }) => token)], ["h", [
    "h",
    "A",
  ]]);
});

test("what a host refuses has the same status, shape and code at the front", async () => {
  await using fronted = await Fronted.start({ contextTokens: 8 });
  const { status, body } = await fronted.anna.post(chat, chatBody({ max_tokens: 50 }));
  assertEquals([status, body.error.code], [400, "context_length_exceeded"]);
  const own = await fronted.anna.post(chat, chatBody({ temperature: 9 }));
  assertEquals([own.status, own.body.error.param], [400, "temperature"]);
});

test("a front without hosts answers its health, and 503 to what needs one", async () => {
  const fronted = await Fronted.start();
  await fronted[Symbol.asyncDispose]();
  assertEquals((await fronted.anna.get("/health")).status, 200);
  const { status, headers, body } = await fronted.anna.post(chat, chatBody());
  assertEquals([status, body.error.code], [503, "no_host"]);
  assertMatch(headers.get("Retry-After")!, /^\d+$/);
  assertEquals(JSON.stringify(body).includes("127.0.0.1"), false);
});

test("tenants of a front are tenants of its hosts, each another one", async () => {
  await using fronted = await Fronted.start();
  const { anna, bert, engines } = fronted;
  for (const asker of [anna, bert, anna]) await asker.post(chat, chatBody());
  const salts = engines.flatMap(({ asked }) => asked.map(({ salt }) => salt));
  assertEquals([salts.length, new Set(salts).size], [3, 2]);
});

test("a client of a front that leaves ends its generation on the host", async () => {
  const never = new Promise<void>(() => {});
  await using fronted = await Fronted.start({ token: (at) => at === 2 ? never : undefined });
  const { anna, engines } = fronted;
  const running = () => engines.reduce((sum, engine) => sum + engine.running, 0);
  for (const stream of [false, true]) {
    const client = new AbortController();
    const request = post(chat, chatBody({ stream }), {
      signal: client.signal,
      headers: { Authorization: "Bearer anna" },
    });
    const gone = Promise.resolve(anna.app.fetch(request));
    gone.catch(() => {});
    await until(() => running() === 1);
    client.abort();
    await until(() => running() === 0);
  }
});

test("sessions stay on their host, by names that show nothing of it", async () => {
  await using fronted = await Fronted.start();
  const { anna, engines } = fronted;
  const made = await Promise.all([1, 2, 3, 4].map(() => anna.post("/v1/sessions")));
  for (const { status, headers, body } of made) {
    assertEquals([status, headers.get("Location")], [201, `/v1/sessions/${body.id}`]);
    assertMatch(body.id, /^[\w-]{60,}$/);
  }
  assertEquals(engines.map(({ open }) => open.size), [2, 2]);
  const path = `/v1/sessions/${made[0].body.id}`;
  const appended = await anna.post(`${path}/append`, { prompt: "abc" });
  assertEquals([appended.status, appended.body.length], [200, 3]);
  assertEquals(appended.body.id, made[0].body.id);
  const generated = await anna.post(`${path}/generate`, { maxTokens: 2 });
  assertEquals([generated.status, generated.body.length], [200, 5]);
  const streamed = await anna.post(`${path}/generate`, { maxTokens: 2, stream: true });
  const events = await eventsOf(new Response(streamed.body));
  assertEquals([events.at(-1).result.tokens.length, events.at(-1).length], [2, 7]);
  const fork = await anna.post(`${path}/fork`);
  assertNotEquals(fork.body.id, made[0].body.id);
  assertEquals([fork.status, fork.body.length], [201, 7]);
  assertEquals((await anna.post(`${path}/truncate`, { tokens: 4 })).body.length, 4);
  const list = (await anna.get("/v1/sessions")).body.data;
  assertEquals(list.map(({ length }: { length: number }) => length).sort(), [0, 0, 0, 4, 7]);
  for (const { id } of list) assertEquals((await anna.get(`/v1/sessions/${id}`)).status, 200);
  const gone = await anna.delete(path);
  assertEquals(gone.body, { id: made[0].body.id, deleted: true });
  assertEquals((await anna.get(path)).status, 404);
});

test("a session is its tenant's alone, and what is none is not known", async () => {
  await using fronted = await Fronted.start();
  const { anna, bert } = fronted;
  const { id } = (await anna.post("/v1/sessions")).body;
  const names = [id, `${id.slice(0, -2)}AA`, "6a7f2f0e-1111-2222-3333-444455556666", "x"];
  for (const name of names) {
    const { status, body } = await bert.get(`/v1/sessions/${name}`);
    assertEquals([status, body.error.code], [404, "session_not_found"]);
    assertStringIncludes(body.error.message, name.slice(0, 60));
  }
  assertEquals((await bert.get("/v1/sessions")).body.data, []);
});

test("a host's own names are in none of a front's answers", async () => {
  await using fronted = await Fronted.start();
  const { anna } = fronted;
  const { id } = (await anna.post("/v1/sessions")).body;
  const path = `/v1/sessions/${id}`;
  const uuid = /[0-9a-f]{8}-[0-9a-f]{4}-/;
  const answers = [
    await anna.get(path),
    await anna.get("/v1/sessions"),
    await anna.post(`${path}/truncate`, { tokens: -1 }),
    await anna.post(`${path}/nothing`),
    await anna.get(`${path}/append`),
    await anna.delete(path),
    await anna.get(path),
  ];
  for (const { body } of answers) assert(!uuid.test(JSON.stringify(body)), JSON.stringify(body));
  assertEquals(answers.map(({ status }) => status), [200, 200, 400, 404, 405, 200, 404]);
});

test("sessions of a host that is gone are told apart from those that never were", async () => {
  await using fronted = await Fronted.start();
  const { anna, servers } = fronted;
  const made = await Promise.all([1, 2].map(() => anna.post("/v1/sessions")));
  await servers[0].end();
  const found = await Promise.all(made.map(({ body }) => anna.get(`/v1/sessions/${body.id}`)));
  assertEquals(found.map(({ status }) => status).sort(), [200, 503]);
  const { body } = found.find(({ status }) => status === 503)!;
  assertEquals(body.error.code, "host_gone");
  assertEquals((await anna.get("/v1/sessions")).body.data.length, 1);
});

test("raw stores over a front answer the bits that a host does", async () => {
  await ensureLibrary();
  await using fronted = await Fronted.start({}, { stores: KvStore });
  const { anna, bert } = fronted;
  const shape = { layers: 1, kvHeads: 1, queryHeads: 1, headDim: 16 };
  const options = { ...shape, contextTokens: 256, threads: 1 };
  const made = await anna.post("/v1/stores", options);
  assertEquals([made.status, made.body.length], [201, 0]);
  const path = `/v1/stores/${made.body.id}`;
  const numbers = (seed: number) =>
    Float32Array.from({ length: 100 * 16 }, (_, at) => Math.sin(at * seed));
  const [keys, values, queries] = [numbers(1), numbers(2), numbers(3)];
  const query = "layer=0&dtype=f32&keys=100,1,16&values=100,1,16&queries=100,1,16";
  const body = new Uint8Array(new Float32Array([...keys, ...values, ...queries]).buffer);
  const answer = await anna.bytes(`${path}/prefill?${query}`, body);
  assertEquals([answer.status, answer.headers.get("Specache-Shape")], [200, "100,1,16"]);
  using own = KvStore.open(options);
  const outputs = own.prefill(0, { keys, values, queries })!;
  assertEquals(answer.body, new Uint8Array(outputs.buffer));
  assertEquals((await bert.get(path)).body.error.code, "store_not_found");
  const short = await anna.bytes(`${path}/prefill?${query}`, body.subarray(4));
  assertEquals([short.status, short.body.error.code], [400, "argument"]);
  assertEquals((await anna.delete(path)).status, 200);
});

const wrong: readonly [string, string, number][] = [
  ["PUT", "/v1/sessions", 405],
  ["DELETE", "/v1/sessions", 405],
  ["PATCH", "/v1/sessions/x", 405],
  ["POST", "/v1/stores", 415],
];

test("a path that is escaped is not known, and no host is taken for gone by it", async () => {
  await using fronted = await Fronted.start();
  const { anna } = fronted;
  for (const path of ["/v1/s%65ssions", "/v1/s%65ssions/abc", "/v1/st%6Fres"]) {
    assertEquals((await anna.get(path)).status, 404, path);
  }
  assertEquals((await anna.get("/v1/sessions")).status, 200);
});

test("a front refuses methods and bodies as hosts do", async () => {
  await using fronted = await Fronted.start();
  for (const [method, path, status] of wrong) {
    const answer = await fronted.anna.send(new Request(`http://localhost${path}`, { method }));
    assertEquals([path, answer.status], [path, status]);
  }
  const head = new Request("http://localhost/v1/sessions", { method: "HEAD" });
  head.headers.set("Authorization", "Bearer anna");
  assertEquals((await fronted.anna.app.fetch(head)).status, 200);
  const { status, body } = await fronted.anna.post("/v1/stores", { layers: 1 });
  assertEquals([status, body.error.code], [400, "unsupported"]); // these hosts have no stores
});
