import { SpecacheError } from "../../mod.ts";
import { createApp } from "../../routes/app.ts";
import { assert, assertEquals, assertMatch, test } from "../harness.ts";
import { Asker, asking, assertRefused } from "./ask.ts";
import { FakeEngine, post } from "./fake.ts";

test("/v1/plan plans the whole context, or so many tokens", async () => {
  const asker = asking();
  assertEquals((await asker.get("/v1/plan")).body.tokens, 1000);
  const { body } = await asker.get("/v1/plan?tokens=64");
  assertEquals([body.tokens, body.nearBytes, body.reservedBytes], [64, 128, 192]);
  assertEquals((await asker.get("/v1/plan?tokens=0")).body.tokens, 0);
});

test("/v1/plan refuses what is no number of tokens, and what it does not know", async () => {
  const asker = asking();
  for (const tokens of ["-1", "1.5", "1e3", "", "x", "123456789"]) {
    const answer = await asker.get(`/v1/plan?tokens=${tokens}`);
    assertRefused(answer, 400, "argument", /tokens \S+ is no number of 0 to 16777216$/);
  }
  const above = await asker.get("/v1/plan?tokens=16777217");
  assertRefused(above, 400, "argument", /tokens 16777217 is above 16777216$/);
  const other = await asker.get("/v1/plan?tokens=1&token=2");
  assertRefused(other, 400, "argument", /option token is not known$/);
  const twice = await asker.get("/v1/plan?tokens=1&tokens=2");
  assertRefused(twice, 400, "argument", /tokens is given more than once$/);
  assertRefused(await asker.get("/v1/plan?__proto__=1"), 400, "argument");
});

test("/v1/stats tells the model, the context and the engine's counters", async () => {
  const { body } = await asking({ name: "mine" }).get("/v1/stats");
  assertEquals([body.model, body.contextTokens], [{ name: "mine" }, 1000]);
  assertEquals([body.waiting, body.rows.late, body.sessionsMax], [5, 22, 4]);
});

test("/health and /ready answer without a key; /ready is 503 once the server closes", async () => {
  const asker = asking({ keys: ["secret"] });
  assertEquals((await asker.get("/ready")).body, { status: "ready" });
  asker.close();
  const closing = await asker.get("/ready");
  assertRefused(closing, 503, "closed", /the server is closing$/);
  assertEquals(closing.headers.get("Retry-After"), "1");
  assertEquals((await asker.get("/health")).body, { status: "ok" });
});

// The samples of a text of Prometheus, by name and labels.
function samplesOf(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => {
    assertMatch(line, /^[a-z_]+(\{([a-z_]+="[^"]*",?)+\})? -?[\d.e+-]+$/);
    const at = line.lastIndexOf(" ");
    return [line.slice(0, at), Number(line.slice(at))];
  }));
}

test("/metrics tells what the engine counts", async () => {
  const { status, headers, body } = await asking().get("/metrics");
  assertEquals([status, headers.get("Content-Type")], [
    200,
    "text/plain; version=0.0.4; charset=utf-8",
  ]);
  const samples = samplesOf(body);
  const wanted: Readonly<Record<string, number>> = {
    'requests_total{end="failed"}': 3,
    requests_waiting: 5,
    requests_running: 0,
    set_back_total: 6,
    recomputed_tokens_total: 7,
    sessions: 0,
    sessions_max: 4,
    tokens_held: 0,
    prompt_tokens_total: 11,
    'cached_tokens_total{from="prompt"}': 10,
    'cached_tokens_total{from="generated"}': 2,
    completion_tokens_total: 13,
    'engine_seconds_total{phase="prefill"}': 1.5,
    'engine_seconds_total{phase="decode"}': 2.5,
    'bytes{tier="near"}': 10,
    'bytes{tier="near_reserved"}': 100,
    'bytes{tier="far_reserved"}': 400,
    'bytes{tier="full"}': 40,
    'rows_total{how="prefetched"}': 21,
    'rows_total{how="late"}': 22,
    'rows_total{how="reused"}': 23,
    fetched_bytes_total: 24,
    'fetch_seconds_total{part="hidden"}': 3,
    'fetch_seconds_total{part="waited"}': 0.5,
    'fetch_seconds_total{part="late"}': 0.25,
    'guesses_total{outcome="made"}': 31,
    'guesses_total{outcome="right"}': 32,
    'guesses_total{outcome="accepted"}': 33,
    'pages{which="free"}': 41,
    'pages{which="all"}': 42,
    prefixes: 51,
    'prefix_lookups_total{outcome="hit"}': 52,
    'prefix_lookups_total{outcome="miss"}': 53,
    evicted_pages_total: 54,
  };
  for (const [name, value] of Object.entries(wanted)) {
    assertEquals(samples.get(`specache_${name}`), value, name);
  }
});

test("/metrics leaves out what the engine does not tell", async () => {
  const engine = new FakeEngine();
  engine.stats = () => Promise.resolve({ running: 1 } as never);
  const { status, body } = await new Asker(createApp(engine)).get("/metrics");
  assertEquals([status, body.includes("NaN"), body.includes("undefined")], [200, false, false]);
  assert(body.includes("specache_requests_running 1") && !body.includes("specache_rows"));
});

test("/metrics counts and times requests by route and status; unknown paths are one", async () => {
  const asker = asking();
  await asker.post("/v1/generate", { prompt: "a" });
  await asker.post("/v1/generate", { prompt: 1 });
  await asker.get("/v1/models/fake");
  await asker.get("/v1/models/other");
  await asker.get("/v1/sessions/3");
  for (const path of ["/none", "/a", "/v1/b", "/v1/sessions/3/no"]) await asker.get(path);
  const samples = samplesOf((await asker.get("/metrics")).body);
  const count = (route: string, status: number) =>
    samples.get(`specache_http_requests_total{route="${route}",status="${status}"}`);
  assertEquals([count("/v1/generate", 200), count("/v1/generate", 400)], [1, 1]);
  assertEquals([count("/v1/models/:id", 200), count("/v1/models/:id", 404)], [1, 1]);
  assertEquals([count("/v1/sessions/:id", 404), count("none", 404)], [1, 4]);
  assertEquals(samples.get('specache_http_request_seconds_count{route="/v1/generate"}'), 2);
  assert([...samples.keys()].every((key) => !key.includes("/b") && !key.includes("/no")));
});

test("a stream is counted when its reader has it whole, or has left", async () => {
  const asker = asking();
  const seen = async () => {
    const key = 'specache_http_request_seconds_count{route="/v1/generate"}';
    return samplesOf((await asker.get("/metrics")).body).get(key) ?? 0;
  };
  const ask = () => asker.app.fetch(post("/v1/generate", { prompt: "a", stream: true }));
  const read = await ask();
  assertEquals(await seen(), 0);
  await read.text();
  assertEquals(await seen(), 1);
  await (await ask()).body!.cancel();
  assertEquals(await seen(), 2);
});

test("a stream whose reader leaves while it waits is counted once", async () => {
  const gate = Promise.withResolvers<void>();
  const asker = asking({}, { token: (at) => at === 0 ? undefined : gate.promise });
  const answer = await asker.app.fetch(post("/v1/generate", { prompt: "a", stream: true }));
  const reader = answer.body!.getReader();
  let told = "";
  while (!told.includes('"piece"')) told += new TextDecoder().decode((await reader.read()).value);
  const waits = reader.read(); // there is no second token
  await new Promise((turn) => setTimeout(turn, 20));
  await reader.cancel();
  await waits;
  gate.resolve();
  await new Promise((turn) => setTimeout(turn, 20));
  const samples = samplesOf((await asker.get("/metrics")).body);
  const total = 'specache_http_requests_total{route="/v1/generate",status="200"}';
  assertEquals(samples.get(total), 1);
});

test("what the engine refuses of its stats is an error in the one shape", async () => {
  const engine = new FakeEngine();
  engine.stats = () => {
    throw new SpecacheError("closed", "Cannot use the engine: it is closed");
  };
  const asker = new Asker(createApp(engine));
  for (const path of ["/metrics", "/v1/stats"]) {
    assertRefused(await asker.get(path), 503, "closed");
  }
});
