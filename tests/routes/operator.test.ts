// Who may read what a server does for all its keys together, and who hears of it otherwise.
import { type AppOptions, createApp } from "../../routes/app.ts";
import { assert, assertEquals, test } from "../harness.ts";
import { KvStore } from "../../mod.ts";
import { type Answer, Asker, assertRefused } from "./ask.ts";
import { FakeEngine } from "./fake.ts";

const PATHS = ["/metrics", "/v1/events"] as const;

// What /v1/stats tells a key that is not the operator's.
const LOAD = ["contextTokens", "model", "running", "sessionsMax", "waiting"];

interface Who {
  readonly key?: string;
  /** The header Specache-Tenant. */
  readonly part?: string;
}

/** Asks for a path; a stream of events is left after its first event. */
async function ask(options: AppOptions, path: string, { key, part }: Who): Promise<Answer> {
  const client = new AbortController();
  const headers = new Headers();
  if (key !== undefined) headers.set("Authorization", `Bearer ${key}`);
  if (part !== undefined) headers.set("Specache-Tenant", part);
  const app = createApp(new FakeEngine(), options);
  const request = new Request(`http://localhost${path}`, { headers, signal: client.signal });
  const response = await app.fetch(request);
  const { status, headers: told } = response;
  const type = told.get("Content-Type") ?? "";
  if (type.startsWith("application/json")) {
    return { status, headers: told, body: await response.json() };
  }
  const reader = response.body!.getReader();
  const { value } = await reader.read();
  client.abort();
  await reader.cancel().catch(() => {});
  return { status, headers: told, body: new TextDecoder().decode(value) };
}

/** Asserts that the path's answers are the operator's. */
async function assertAll(options: AppOptions, who: Who): Promise<void> {
  const [metrics, events] = [await ask(options, PATHS[0], who), await ask(options, PATHS[1], who)];
  assertEquals([metrics.status, events.status], [200, 200], JSON.stringify([options, who]));
  assert(metrics.body.includes("specache_prompt_tokens_total 11"));
  assert(events.body.includes('"cachedTokens":12'));
  const { body } = await ask(options, "/v1/stats", who);
  assertEquals([body.promptTokens, body.prefixes.hits], [11, 52]);
}

/** Asserts that all sums are refused by a sentence, and what /v1/stats tells all the same. */
async function assertLoad(options: AppOptions, who: Who, sentence: RegExp): Promise<void> {
  for (const path of [...PATHS, "/v1/%65vents", "/v1/events?watch=1", "/%6Detrics"]) {
    const answer = await ask(options, path, who);
    assertRefused(answer, 403, "operator_only", sentence);
    assert(answer.body.error.message.includes("--operator-key-file"), path);
    assertEquals(answer.body.error.param, null);
  }
  const { status, body } = await ask(options, "/v1/stats", who);
  assertEquals([status, Object.keys(body).sort()], [200, LOAD]);
  assertEquals([body.running, body.waiting, body.sessionsMax], [0, 5, 4]);
  assertEquals([body.model, body.contextTokens], [{ name: "fake" }, 1000]);
}

const other = /tells of all keys together, and this one is none of the operator's \(--operator-/;
const none = /tells of all keys together, and none is the operator's: name one by --operator-key-/;
const part = /tells of all keys together, and the header Specache-Tenant names one tenant: /;

test("an operator's key reads all that is counted, another key what it needs", async () => {
  for (const keys of [["anna"], ["anna", "bert"]]) {
    const options = { keys, operatorKeys: ["olga"] };
    await assertAll(options, { key: "olga" });
    for (const key of keys) await assertLoad(options, { key }, other);
  }
});

test("where no key is asked for anybody is the operator", async () => {
  await assertAll({}, {});
  await assertAll({}, { key: "any", part: "x" });
});

test("the only key is the operator's, unless it is told that none is", async () => {
  await assertAll({ keys: ["anna"] }, { key: "anna" });
  await assertAll({ keys: ["anna", "anna"] }, { key: "anna" });
  await assertLoad({ keys: ["anna"], operatorKeys: [] }, { key: "anna" }, none);
});

test("of several keys none is the operator's until one is named, also of them", async () => {
  const keys = ["anna", "bert"];
  for (const key of keys) await assertLoad({ keys }, { key }, none);
  await assertAll({ keys, operatorKeys: ["bert"] }, { key: "bert" });
  await assertLoad({ keys, operatorKeys: ["bert"] }, { key: "anna" }, other);
});

test("a request for one tenant of a key is not the operator's, whoever's the key is", async () => {
  await assertLoad({ keys: ["anna"] }, { key: "anna", part: "x" }, part);
  const named = { keys: ["anna"], operatorKeys: ["olga"] };
  await assertLoad(named, { key: "olga", part: "x" }, part);
  await assertLoad(named, { key: "anna", part: "x" }, other);
  await assertAll({ keys: ["anna"] }, { key: "anna", part: "" });
});

test("no key, and one that is none of both kinds, are 401 everywhere", async () => {
  for (const options of [{ keys: ["anna"] }, { keys: ["anna"], operatorKeys: ["olga"] }]) {
    for (const path of [...PATHS, "/v1/stats"]) {
      for (const key of [undefined, "olg", "olgaa", "Olga"]) {
        assertRefused(await ask(options, path, { key }), 401, "invalid_api_key");
      }
    }
  }
});

test("an operator's key uses the model as any does, also where no others are", async () => {
  const engine = new FakeEngine();
  const app = createApp(engine, { operatorKeys: ["olga", "otto"] });
  assertRefused(await new Asker(app).get("/v1/stats"), 401, "invalid_api_key");
  assertRefused(await new Asker(app, "anna").get("/v1/models"), 401, "invalid_api_key");
  for (const key of ["olga", "otto"]) {
    assertEquals((await new Asker(app, key).post("/v1/generate", { prompt: "a" })).status, 200);
    assertEquals((await new Asker(app, key).get("/metrics")).status, 200);
  }
  const [one, two] = engine.asked.map(({ salt }) => salt);
  assert(one !== two && one !== "" && two !== "");
});

test("heads and other methods of what is the operator's are refused as well", async () => {
  const app = createApp(new FakeEngine(), { keys: ["anna", "bert"] });
  const headers = { Authorization: "Bearer anna" };
  for (const path of PATHS) {
    for (const method of ["HEAD", "POST", "OPTIONS"]) {
      const request = new Request(`http://localhost${path}`, { method, headers });
      assertEquals((await app.fetch(request)).status, 403, `${method} ${path}`);
    }
  }
});

test("to the operator too sessions of another key are not known", async () => {
  const app = createApp(new FakeEngine(), {
    keys: ["anna"],
    operatorKeys: ["olga"],
    stores: KvStore,
  });
  const [anna, olga] = [new Asker(app, "anna"), new Asker(app, "olga")];
  const { id } = (await anna.post("/v1/sessions")).body;
  for (const path of ["/v1/sessions", "/v1/stores"]) {
    assertEquals((await olga.get(path)).body, { data: [] });
  }
  assertRefused(await olga.get(`/v1/sessions/${id}`), 404, "session_not_found");
});

test("a store that finds no room is not told how much others hold", async () => {
  const sizes = { layers: 1, kvHeads: 1, queryHeads: 1, headDim: 16, contextTokens: 256 };
  const plan = () => ({ reservedBytes: 600, farBytes: 11 });
  const store = { length: 0, stats: () => ({ tokens: 0 }), close: () => {} };
  const stores = { plan, open: () => store } as unknown as AppOptions["stores"];
  const app = createApp(new FakeEngine(), { keys: ["anna", "bert"], stores, storeBytesMax: 1000 });
  assertEquals((await new Asker(app, "anna").post("/v1/stores", sizes)).status, 201);
  const refused = await new Asker(app, "bert").post("/v1/stores", sizes);
  const sentence = /its 611 bytes are more than open stores leave of the server's 1000$/;
  assertRefused(refused, 503, "capacity", sentence);
});
