// Our own API over a real engine answers what the engine does in this process.
import { type Engine, type GenerateOptions, KvStore } from "../../mod.ts";
import { createApp } from "../../routes/app.ts";
import { openNeedle, promptIds, textIds } from "../engine/support.ts";
import { assert, assertEquals, test } from "../harness.ts";
import { Asker, assertRefused } from "./ask.ts";

async function serving(
  body: (asker: Asker, engine: Engine, closing: AbortController) => Promise<void>,
  { queue, ...options }: { readonly idleSeconds?: number; readonly queue?: number } = {},
): Promise<void> {
  await using engine = await openNeedle({ sequences: 3, contextTokens: 1024, queue });
  const closing = new AbortController();
  const app = createApp(engine, { stores: KvStore, closing: closing.signal, ...options });
  await body(new Asker(app), engine, closing);
  closing.abort();
}

// Requests that have all places, until they are given up; each waits for verdicts on its tokens.
async function busy(engine: Engine, places: number): Promise<AbortController> {
  const end = new AbortController();
  for (let at = 0; at < places; at++) {
    const asked = { ids: promptIds, maxTokens: 500, stop: "zzzz", signal: end.signal };
    await engine.generate(asked).started;
  }
  return end;
}

async function waiting(engine: Engine, wanted: number): Promise<void> {
  while ((await engine.stats()).waiting !== wanted) {
    await new Promise((answer) => setTimeout(answer, 1));
  }
}

// What is not a time, nor where a request's rows were before it.
function fact<T extends { readonly tokens: readonly number[]; readonly text: string }>(
  { tokens, text }: T,
) {
  return { tokens, text };
}

test("/v1/generate answers what the engine generates, whole and streamed", () =>
  serving(async (asker, engine) => {
    const asked: readonly GenerateOptions[] = [
      { ids: promptIds, maxTokens: 8 },
      { prompt: "The code of amber is", maxTokens: 5, temperature: 0.8, seed: 3, logprobs: 2 },
      { prompt: "The code of", maxTokens: 20, stop: "is" },
    ];
    for (const options of asked) {
      const { body } = await asker.post("/v1/generate", options);
      const own = await engine.generate(options).result;
      assertEquals(fact(body.result), fact(own));
      assertEquals(body.result.tokenLogprobs, own.tokenLogprobs);
      const { body: stream } = await asker.post("/v1/generate", { ...options, stream: true });
      const events = stream.split("\n\n").slice(0, -1)
        .map((each: string) => JSON.parse(each.replace("data: ", "")));
      assertEquals(events[0], { started: true });
      const pieces = events.filter(({ piece }: { piece?: object }) => piece !== undefined);
      assertEquals(pieces.map(({ piece }: { piece: { id: number } }) => piece.id), own.tokens);
      assertEquals(fact(events.at(-1).result), fact(own));
      for (const { piece, texts } of options.logprobs ? pieces : []) {
        assertEquals(texts[piece.id], engine.tokenText(piece.id));
        for (const [id] of piece.logprobs) assertEquals(texts[id], engine.tokenText(id));
      }
    }
  }));

test("a session over HTTP goes on as one of this process, and its memory comes back", () =>
  serving(async (asker, engine) => {
    const own = await engine.session();
    await own.append({ ids: promptIds });
    const first = await own.generate({ maxTokens: 4 }).result;
    const second = await own.generate({ ids: [5, 6], maxTokens: 4 }).result;
    const bytes = (await own.stats()).nearBytes;
    await own.close();

    const { id } = (await asker.post("/v1/sessions")).body;
    const path = `/v1/sessions/${id}`;
    const read = await asker.post(`${path}/append`, { ids: promptIds });
    assertEquals(read.body.length, promptIds.length);
    const one = await asker.post(`${path}/generate`, { maxTokens: 4 });
    assertEquals(fact(one.body.result), fact(first));
    const fork = (await asker.post(`${path}/fork`)).body;
    for (const place of [path, `/v1/sessions/${fork.id}`]) {
      const two = await asker.post(`${place}/generate`, { ids: [5, 6], maxTokens: 4 });
      assertEquals(fact(two.body.result), fact(second));
    }
    const told = (await asker.get(path)).body;
    assertEquals(told.bytes.near, bytes);
    assert(told.bytes.near < told.bytes.full, JSON.stringify(told.bytes));
    assertEquals((await engine.stats()).sessions, 2);
    await asker.delete(path);
    await asker.delete(`/v1/sessions/${fork.id}`);
    const { sessions, pages } = await engine.stats();
    assertEquals([sessions, pages.free], [0, pages.all]);
  }));

test("sessions that nobody uses give their memory back by themselves", () =>
  serving(async (asker, engine) => {
    const { id } = (await asker.post("/v1/sessions")).body;
    await asker.post(`/v1/sessions/${id}/append`, { ids: promptIds });
    assert((await engine.stats()).nearBytes > 0);
    while ((await engine.stats()).sessions > 0) {
      await new Promise((answer) => setTimeout(answer, 20));
    }
    assertRefused(await asker.get(`/v1/sessions/${id}`), 404, "session_not_found");
  }, { idleSeconds: 0.3 }));

test("a session of more tokens than the context is refused with both numbers", () =>
  serving(async (asker) => {
    const { id } = (await asker.post("/v1/sessions")).body;
    const path = `/v1/sessions/${id}`;
    await asker.post(`${path}/append`, { ids: promptIds });
    for (const name of ["append", "generate"]) {
      const long = await asker.post(`${path}/${name}`, { ids: textIds(600) });
      assertRefused(
        long,
        400,
        "context_length_exceeded",
        /500 tokens held, 600 of .* above contextTokens 1024$/,
      );
    }
    assertEquals((await asker.post(`${path}/generate`, { maxTokens: 2 })).status, 200);
  }));

test("sessions leave a place for requests without one, and more are refused for now", () =>
  serving(async (asker) => {
    for (let open = 0; open < 2; open++) {
      assertEquals((await asker.post("/v1/sessions")).status, 201);
    }
    const more = await asker.post("/v1/sessions");
    assertRefused(more, 503, "capacity", /2 are open, and the server has 2$/);
    const { status } = await asker.post("/v1/generate", { ids: promptIds, maxTokens: 2 });
    assertEquals(status, 200);
    const { data } = (await asker.get("/v1/sessions")).body;
    await asker.delete(`/v1/sessions/${data[0].id}`);
    assertEquals((await asker.post("/v1/sessions")).status, 201);
  }));

test("sessions and forks wait for a place that requests have, as requests do", () =>
  serving(async (asker, engine) => {
    const end = await busy(engine, 3);
    const first = asker.post("/v1/sessions");
    await waiting(engine, 1);
    end.abort();
    const { status, body: { id } } = await first;
    assertEquals(status, 201);
    const again = await busy(engine, 2);
    const fork = asker.post(`/v1/sessions/${id}/fork`);
    await waiting(engine, 1);
    assertEquals((await asker.get(`/v1/sessions/${id}`)).body.busy, true);
    again.abort();
    assertEquals((await fork).status, 201);
  }));

test("who waits for a session leaves with its client, and when the server closes", () =>
  serving(async (asker, engine, closing) => {
    const end = await busy(engine, 3);
    const client = new AbortController();
    const gone = asker.post("/v1/sessions", {}, client.signal);
    await waiting(engine, 1);
    assertRefused(
      await asker.post("/v1/sessions"),
      429,
      "busy",
      /1 requests wait, as many as may$/,
    );
    client.abort();
    assertRefused(await gone, 499, "cancelled");
    await waiting(engine, 0);
    const refused = asker.post("/v1/sessions");
    await waiting(engine, 1);
    closing.abort();
    assertRefused(await refused, 503, "closed", /the server is closing$/);
    await waiting(engine, 0);
    end.abort();
    while ((await engine.stats()).running > 0);
    assertEquals((await engine.stats()).sessions, 0);
  }, { queue: 1 }));

test("answers to one request wait for each other where nothing else may wait", () =>
  serving(async (asker, engine) => {
    const body = { model: engine.model.name, prompt: "The code of", n: 8, max_tokens: 3 };
    const answer = await asker.post("/v1/completions", body);
    assertEquals([answer.status, answer.body.choices?.length], [200, 8]);
    assertEquals((await engine.stats()).requests, { ended: 8, cancelled: 0, failed: 0 });
  }, { queue: 0 }));

test("/v1/plan, /v1/stats and /metrics tell what the engine does", () =>
  serving(async (asker, engine) => {
    await asker.post("/v1/generate", { ids: promptIds, maxTokens: 8 });
    assertEquals((await asker.get("/v1/plan?tokens=500")).body, engine.plan(500));
    const { model: _, contextTokens: __, ...stats } = (await asker.get("/v1/stats")).body;
    assertEquals(stats, await engine.stats());
    const { body } = await asker.get("/metrics");
    const wanted = [
      `specache_prompt_tokens_total ${stats.promptTokens}`,
      "specache_completion_tokens_total 8",
      `specache_rows_total{how="late"} ${stats.rows.late}`,
      `specache_pages{which="all"} ${stats.pages.all}`,
    ];
    for (const line of wanted) assert(body.includes(`${line}\n`), `${line} in ${body}`);
    assert(stats.rows.late > 0);
  }));
