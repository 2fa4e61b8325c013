// Who waits, who leaves, and what is then free again.
import { createApp } from "../../routes/app.ts";
import { assert, assertEquals, test } from "../harness.ts";
import { chatBody, eventsOf, FakeEngine, post } from "./fake.ts";

const path = "/v1/chat/completions";

/** A gate that a test opens. */
class Gate {
  readonly #opened = Promise.withResolvers<void>();
  readonly opens: Promise<void> = this.#opened.promise;

  open(): void {
    this.#opened.resolve();
  }
}

async function until(fact: () => boolean): Promise<void> {
  const end = performance.now() + 5000;
  while (!fact()) {
    assert(performance.now() < end, `not within 5 s: ${fact}`);
    await new Promise((answer) => setTimeout(answer, 1));
  }
}

test("requests run one at a time, and all are answered", async () => {
  const engine = new FakeEngine({ token: () => new Promise((answer) => setTimeout(answer, 1)) });
  const app = createApp(engine);
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, at) => app.fetch(post(path, chatBody({ stream: at % 2 === 0 })))),
  );
  for (const answer of answers) {
    assertEquals(answer.status, 200);
    await answer.text();
  }
  assertEquals([engine.most, engine.running, engine.asked.length], [1, 0, 8]);
});

test("a client that leaves ends its generation, and the next one runs", async () => {
  const gate = new Gate();
  const engine = new FakeEngine({ token: (at) => at === 2 ? gate.opens : undefined });
  const app = createApp(engine);
  for (const stream of [false, true]) {
    const client = new AbortController();
    const { signal } = client;
    const gone = Promise.resolve(app.fetch(post(path, chatBody({ stream }), { signal })));
    gone.catch(() => {});
    await until(() => engine.running === 1);
    client.abort();
    await until(() => engine.running === 0);
  }
  gate.open();
  const answer = await app.fetch(post(path, chatBody()));
  assertEquals((await answer.json()).choices[0].message.content, "hello");
});

test("a reader that cancels the stream ends its generation", async () => {
  const gate = new Gate();
  const engine = new FakeEngine({ token: (at) => at === 2 ? gate.opens : undefined });
  const response = await createApp(engine).fetch(post(path, chatBody({ stream: true })));
  const reader = response.body!.getReader();
  await reader.read();
  assertEquals(engine.running, 1);
  await reader.cancel();
  await until(() => engine.running === 0);
});

test("a client that leaves while it waits never reaches the engine", async () => {
  const gate = new Gate();
  const engine = new FakeEngine({ token: () => gate.opens });
  const app = createApp(engine);
  const first = app.fetch(post(path, chatBody()));
  await until(() => engine.running === 1);
  const client = new AbortController();
  const gone = app.fetch(post(path, chatBody(), { signal: client.signal }));
  const third = app.fetch(post(path, chatBody()));
  await new Promise((answer) => setTimeout(answer, 20));
  client.abort();
  assertEquals((await gone).status, 499);
  gate.open();
  assertEquals([(await first).status, (await third).status], [200, 200]);
  assertEquals(engine.asked.length, 2);
});

test("a client that does not read its stream holds nobody up", async () => {
  const engine = new FakeEngine({ text: "x".repeat(900) });
  const app = createApp(engine);
  const slow = await app.fetch(post(path, chatBody({ stream: true })));
  const fast = await app.fetch(post(path, chatBody()));
  assertEquals(fast.status, 200);
  assertEquals((await eventsOf(slow)).at(-1), "[DONE]");
});

test("a request that the engine refuses gives its place back", async () => {
  const engine = new FakeEngine({ refuses: new Error("no") });
  const app = createApp(engine);
  for (let i = 0; i < 3; i++) assertEquals((await app.fetch(post(path, chatBody()))).status, 500);
});

test("an app that closes finishes what runs and refuses what waits and what comes", async () => {
  const gate = new Gate();
  const engine = new FakeEngine({ token: () => gate.opens });
  const closing = new AbortController();
  const app = createApp(engine, { closing: closing.signal });
  const runs = app.fetch(post(path, chatBody()));
  await until(() => engine.running === 1);
  const waits = app.fetch(post(path, chatBody()));
  await new Promise((answer) => setTimeout(answer, 20));
  closing.abort();
  const refused = await waits;
  assertEquals([refused.status, (await refused.json()).error.code], [503, "closed"]);
  assertEquals((await app.fetch(post(path, chatBody()))).status, 503);
  gate.open();
  assertEquals((await (await runs).json()).choices[0].message.content, "hello");
});
