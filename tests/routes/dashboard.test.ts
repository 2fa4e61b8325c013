// The page's files, and the events that it lives by.
import { readdirSync, readFileSync } from "node:fs";
import type { Observation, ObserveOptions } from "../../mod.ts";
import { type AppOptions, createApp } from "../../routes/app.ts";
import { files } from "../../routes/dashboard/files.ts";
import { pathOf } from "../cli/command.ts";
import { assert, assertEquals, assertMatch, test } from "../harness.ts";
import { asking, assertRefused } from "./ask.ts";
import { FakeEngine } from "./fake.ts";

test("the page and its files need no key, and load nothing of another server", async () => {
  const asker = asking({ keys: ["secret"] });
  for (const path of ["/", ...Object.keys(files).map((name) => `/dashboard/${name}`)]) {
    const { status, headers, body } = await asker.get(path);
    assertEquals(status, 200, path);
    assertEquals(body, files[path === "/" ? "page.html" : path.slice("/dashboard/".length)]);
    const policy = headers.get("Content-Security-Policy")!;
    assertMatch(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/);
    assert(!policy.includes("unsafe") && !policy.includes("http"));
    assertEquals(headers.get("X-Content-Type-Options"), "nosniff");
    const type = headers.get("Content-Type")!;
    assertMatch(type, /^(text\/(html|css|javascript); charset=utf-8|image\/svg\+xml)$/);
  }
});

test("the page's files are those of its folder, and name no other server", () => {
  const names = readdirSync(pathOf("routes/dashboard")).filter((name) => name !== "files.ts");
  assertEquals(Object.keys(files), names.sort());
  for (const [name, text] of Object.entries(files)) {
    assertEquals(text, readFileSync(pathOf(`routes/dashboard/${name}`), "utf8"));
    assertEquals(text.replaceAll("http://www.w3.org/2000/svg", "").match(/https?:|@import/g), null);
    assertEquals(
      text.match(/\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval)\b/g),
      null,
    );
  }
  const inline = files["page.html"].match(/ style=|<style| on\w+=|<script(?! type="module" src=)/g);
  assertEquals(inline, null);
});

test("a file that the page has not is 404, and another method 405", async () => {
  const asker = asking();
  const sentence = /^Cannot answer: path \/dashboard\/\S+ is not known$/;
  for (const name of ["nothing.js", "toString", "__proto__", "..%2Fapp.ts"]) {
    assertRefused(await asker.get(`/dashboard/${name}`), 404, "not_found", sentence);
  }
  assertRefused(await asker.post("/"), 405, "method_not_allowed");
  assertRefused(await asker.post("/dashboard/main.js"), 405, "method_not_allowed");
  assertRefused(await asker.post("/v1/events"), 405, "method_not_allowed");
});

/** An engine that can be observed. */
class Observed extends FakeEngine {
  readonly observed: ObserveOptions[] = [];
  turns = 0;

  observe(options: ObserveOptions): Promise<Observation> {
    this.observed.push(options);
    const { since = 0, known } = options;
    const from = known?.tokens ?? 0;
    const text = { ticket: 3, ended: null, length: 3, unwatched: null, from };
    const tokens = Array.from("abc", (text) => ({ text, came: "prompt" as const })).slice(from);
    const reads = {
      ...{ steps: 1, position: 200, windowFrom: 128, columnTokens: 64, most: [[5, 1, 0]] },
      ...{ shares: Uint8Array.of(1, 255), late: Uint8Array.of(7) },
    } as const;
    return Promise.resolve({
      ...{ nowMs: 1, mode: "specache", layers: 1, kvHeads: 1, slots: 0, turn: this.turns },
      turns: this.turns > since ? [{ turn: this.turns }] : [],
      ...{ requests: [], others: 0, watched: { ...text, tokens, reads } },
    } as unknown as Observation);
  }
}

/** Reads a stream of events one by one. */
class Events implements AsyncDisposable {
  readonly #reader: ReadableStreamDefaultReader<string>;
  readonly #client: AbortController;
  #rest = "";

  private constructor(response: Response, client: AbortController) {
    this.#reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    this.#client = client;
  }

  static async of(engine: FakeEngine, options: AppOptions = {}, query = ""): Promise<Events> {
    return await Events.from(createApp(engine, options), query);
  }

  static async from(app: ReturnType<typeof createApp>, query = ""): Promise<Events> {
    const client = new AbortController();
    const { signal } = client;
    const response = await app.fetch(new Request(`http://localhost/v1/events${query}`, { signal }));
    assertEquals(response.status, 200);
    assertMatch(response.headers.get("Content-Type")!, /^text\/event-stream/);
    return new Events(response, client);
  }

  /** The next event; null: the stream has ended. */
  // deno-lint-ignore no-explicit-any -- tests read whatever an event holds
  async next(): Promise<any> {
    while (!this.#rest.includes("\n\n")) {
      const { value, done } = await this.#reader.read();
      if (done) return null;
      this.#rest += value;
    }
    const [event, ...more] = this.#rest.split("\n\n");
    this.#rest = more.join("\n\n");
    return JSON.parse(event.replace(/^data: /, ""));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.abort();
    await this.#reader.cancel().catch(() => {});
  }
}

test("/v1/events tells what the engine holds and does, and what came since", async () => {
  const engine = new Observed();
  await using events = await Events.of(engine, { name: "n" }, "?watch=3&list=0");
  const first = await events.next();
  assertEquals([first.model, first.contextTokens, first.stats.running], [{ name: "n" }, 1000, 0]);
  const { watched } = first.observation;
  assertEquals(watched.tokens.length, 3);
  assertEquals([watched.reads.shares, watched.reads.late], [btoa("\x01\xff"), btoa("\x07")]);
  engine.turns = 7;
  const second = await events.next();
  assertEquals(second.observation.turns, [{ turn: 7 }]);
  assertEquals(second.observation.watched.tokens, []);
  const asked = { salt: "", watch: 3, list: 0 };
  assertEquals(engine.observed[0], { ...asked, since: 0, known: undefined });
  assertEquals(engine.observed[1], { ...asked, since: 0, known: { ticket: 3, tokens: 3 } });
  engine.turns = 8;
  assertEquals((await events.next()).observation.turns, [{ turn: 8 }]);
});

test("/v1/events sends at most four events a second, and one where nothing goes on", async () => {
  const engine = new Observed();
  await using events = await Events.of(engine);
  await events.next();
  const began = performance.now();
  for (let at = 1; at <= 4; at++) {
    engine.turns = at;
    await events.next();
  }
  assert(performance.now() - began >= 900, `4 events in ${performance.now() - began} ms`);
  const quiet = performance.now();
  await events.next();
  assert(performance.now() - quiet >= 700, `after ${performance.now() - quiet} ms`);
});

test("/v1/events of an engine that cannot be observed tells its stats", async () => {
  await using events = await Events.of(new FakeEngine());
  const { stats, observation } = await events.next();
  assertEquals([stats.running, observation], [0, null]);
});

test("/v1/events asks for the key, and shows each operator's key its own", async () => {
  const engine = new Observed();
  const app = createApp(engine, { keys: ["one"], operatorKeys: ["one", "two"] });
  const ask = async (key?: string) => {
    const client = new AbortController();
    const headers: Record<string, string> = key === undefined
      ? {}
      : { Authorization: `Bearer ${key}` };
    const init = { headers, signal: client.signal };
    const response = await app.fetch(new Request("http://localhost/v1/events", init));
    const reader = response.body!.getReader();
    await reader.read();
    client.abort();
    await reader.cancel().catch(() => {});
    return response.status;
  };
  assertEquals([await ask(), await ask("three"), engine.observed], [401, 401, []]);
  assertEquals([await ask("one"), await ask("two")], [200, 200]);
  const salts = new Set(engine.observed.map(({ salt }) => salt));
  assertEquals([salts.size, salts.has("")], [2, false]);
});

test("/v1/events refuses a query that it does not know", async () => {
  const asker = asking();
  for (const query of ["watch=x", "watch=-1", "list=1.5", "since=3", "watch=1&watch=2", "watch="]) {
    assertRefused(await asker.get(`/v1/events?${query}`), 400, "argument");
  }
});

test("a client that leaves, and one that never reads, are asked for no more", async () => {
  const engine = new Observed();
  const app = createApp(engine);
  const streams = await Promise.all(Array.from({ length: 16 }, () => Events.from(app)));
  const answer = await app.fetch(new Request("http://localhost/v1/events"));
  const { error } = await answer.json();
  assertEquals([answer.status, error.code, answer.headers.get("Retry-After")], [429, "busy", "1"]);
  assertMatch(error.message, /^Cannot watch the engine: 16 streams of events are open/);
  for (const stream of streams) await stream[Symbol.asyncDispose]();
  await new Promise((turn) => setTimeout(turn, 50));
  const asked = engine.observed.length;
  await new Promise((turn) => setTimeout(turn, 600));
  assertEquals(engine.observed.length, asked);
  await using again = await Events.from(app);
  assert(await again.next() !== null);
});

test("a server that closes says so and ends the stream, also of who does not read", async () => {
  const closing = new AbortController();
  const app = createApp(new Observed(), { closing: closing.signal });
  await using events = await Events.from(app);
  await using idle = await Events.from(app);
  await events.next();
  closing.abort();
  const last = [];
  for (let event = await events.next(); event !== null; event = await events.next()) {
    last.push(event);
  }
  assertEquals(last.at(-1), { closing: true });
  let told = null;
  for (let event = await idle.next(); event !== null; event = await idle.next()) told = event;
  assertEquals(told, { closing: true });
  assertEquals(await (await Events.from(app)).next(), { closing: true });
});

test("what an engine fails with is reported, and the stream ends with an error", async () => {
  const engine = new FakeEngine();
  const reported: unknown[] = [];
  const failure = new TypeError("/home/me");
  engine.stats = () => Promise.reject(failure);
  const report = (error: unknown) => void reported.push(error);
  await using events = await Events.of(engine, { report });
  const { error } = await events.next();
  assertEquals([error.code, reported], ["internal", [failure]]);
  assertEquals(await events.next(), null);
});

test("heads of /v1/events open no stream", async () => {
  const asker = asking();
  for (let at = 0; at < 40; at++) {
    const request = new Request("http://localhost/v1/events", { method: "HEAD" });
    const { status, headers, body } = await asker.app.fetch(request);
    assertEquals([status, headers.get("Content-Type"), body], [200, "text/event-stream", null]);
  }
  await using events = await Events.from(asker.app);
  assertEquals((await events.next()).model, { name: "fake" });
});
