// What a front tells of its hosts: to its operator what they tell its key, to others what runs.
import { listen, type Listening } from "../../cli/listen.ts";
import { RemoteEngine } from "../../edge/remote.ts";
import { type AppOptions, createApp } from "../../routes/app.ts";
import { assert, assertEquals, assertFalse, test } from "../harness.ts";
import { Asker, assertRefused } from "../routes/ask.ts";
import { chatBody, FakeEngine } from "../routes/fake.ts";
import { over, Scripted } from "./scripted.ts";

const HOST_KEY = "key-of-hosts";

/** Two hosts and a front of them. */
class Fronted implements AsyncDisposable {
  private constructor(readonly servers: readonly Listening[], readonly app: AppOptions) {}

  static async start(hosts: readonly AppOptions[], front: AppOptions): Promise<Fronted> {
    const servers = await Promise.all(hosts.map((options) => {
      const { fetch } = createApp(new FakeEngine(), { name: "fake", ...options });
      return listen(fetch, { hostname: "127.0.0.1", port: 0 });
    }));
    return new Fronted(servers, front);
  }

  /** Asks the front with a key. */
  async as(key?: string): Promise<Asker> {
    const hosts = this.servers.map(({ url }) => ({ url, key: HOST_KEY }));
    return new Asker(createApp(await RemoteEngine.open({ hosts }), this.app), key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.servers) await server.end();
  }
}

const open = { keys: [HOST_KEY] }; // the only key, so the operator's
const closed = { keys: [HOST_KEY, "another"] };

async function assertLoad({ app, key }: Asker, part = ""): Promise<void> {
  const ask = async (path: string) => {
    const headers = { Authorization: `Bearer ${key}`, "Specache-Tenant": part };
    const answer = await app.fetch(new Request(`http://localhost${path}`, { headers }));
    const type = answer.headers.get("Content-Type") ?? "";
    const isJson = type.startsWith("application/json");
    const body = isJson ? await answer.json() : await answer.body?.cancel(); // may never end
    return { status: answer.status, headers: answer.headers, body };
  };
  for (const path of ["/metrics", "/v1/events"]) {
    assertRefused(await ask(path), 403, "operator_only", /--operator-key-file/);
  }
  const { status, body } = await ask("/v1/stats");
  const names = ["contextTokens", "model", "running", "sessionsMax", "waiting"];
  assertEquals([status, Object.keys(body).sort()], [200, names]);
  assertEquals([body.running, body.waiting, body.sessionsMax], [0, 10, 8]);
}

test("a front's tenants hear what runs and waits at its hosts, not what they count", async () => {
  await using fronted = await Fronted.start([open, open], { keys: ["anna", "bert"] });
  const anna = await fronted.as("anna");
  await assertLoad(anna);
  await assertLoad(anna, "x");
  const { id } = (await anna.post("/v1/sessions")).body;
  for (const up of ["../../stats", "..%2f..%2fstats", "..%5c..%5cstats", "%2e%2e/%2e%2e/stats"]) {
    for (const path of [`/v1/sessions/${id}/${up}`, `/v1/sessions/${up}`, `/v1/stores/${up}`]) {
      const { status, body } = await anna.get(path);
      assert(status === 404 || body.promptTokens === undefined && status === 200, path);
      assertFalse(JSON.stringify(body).includes("cachedTokens"), path);
    }
  }
});

test("the only key of a front is no operator's: its hosts may have other fronts", async () => {
  await using fronted = await Fronted.start([open, open], { keys: ["anna"] });
  await assertLoad(await fronted.as("anna"));
});

test("a front's operator reads the sums that its hosts tell their operator", async () => {
  const front = { keys: ["anna"], operatorKeys: ["olga"] };
  for (const host of [open, { ...closed, operatorKeys: [HOST_KEY] }]) {
    await using fronted = await Fronted.start([host, host], front);
    const olga = await fronted.as("olga");
    const { body } = await olga.get("/v1/stats");
    assertEquals([body.promptTokens, body.prefixes.hits], [22, 104]);
    assert((await olga.get("/metrics")).body.includes("specache_prompt_tokens_total 22"));
    await assertLoad(await fronted.as("anna"));
  }
});

test("over hosts whose operator it is not a front works, and knows what runs", async () => {
  await using fronted = await Fronted.start([closed, closed], { operatorKeys: ["olga"] });
  const olga = await fronted.as("olga");
  assertEquals((await olga.post("/v1/chat/completions", chatBody())).status, 200);
  const { body } = await olga.get("/v1/stats");
  assertEquals([body.model, body.waiting, body.tokens], [{ name: "fake" }, 10, undefined]);
  const metrics = (await olga.get("/metrics")).body;
  assert(metrics.includes("specache_requests_waiting 10"));
  assert(metrics.includes("specache_http_requests_total"));
  assertFalse(/specache_(prompt|cached)_tokens|prefix_lookups/.test(metrics));
});

test("what one host counts is not told as if it were all hosts'", async () => {
  for (const hosts of [[open, closed], [closed, open]]) {
    await using fronted = await Fronted.start(hosts, { operatorKeys: ["olga"] });
    const { body } = await (await fronted.as("olga")).get("/v1/stats");
    assertEquals([body.waiting, body.promptTokens], [10, undefined]);
  }
});

test("a host is asked for its stats in the front's own name, by no tenant's", async () => {
  await using host = await Scripted.start();
  const asker = new Asker(createApp(await over([host]), { keys: ["anna", "bert"] }), "anna");
  await asker.get("/v1/stats");
  assertEquals([host.probes, host.heard.length], [1, 0]);
  assertEquals(host.probed.get("Specache-Tenant"), null);
});
