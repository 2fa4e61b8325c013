// Several answers to one request: which begin when, and what ends them.
import { type GenerateOptions, SpecacheError } from "../../mod.ts";
import { createApp, type ServedGeneration } from "../../routes/app.ts";
import { assert, assertEquals, test } from "../harness.ts";
import { chatBody, eventsOf, FakeEngine, post } from "./fake.ts";

const path = "/v1/chat/completions";

// Opened by hand, token by token of all generations.
class Gate {
  #waiting: (() => void)[] = [];
  #free = 0;

  pass(): Promise<void> {
    if (this.#free-- > 0) return Promise.resolve();
    return new Promise((answer) => this.#waiting.push(answer));
  }

  open(times: number): void {
    this.#free = Math.max(0, this.#free);
    for (; times > 0; times--) {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((answer) => setTimeout(answer, 1));
}

test("answers differ by their seeds, and the usage counts the prompt once", async () => {
  const engine = new FakeEngine({ sequences: 4 });
  const response = await createApp(engine).fetch(post(path, chatBody({ n: 3, seed: 41 })));
  const body = await response.json();
  assertEquals(engine.asked.map(({ seed }) => seed), [41, 42, 43]);
  assertEquals(body.choices.map(({ index }: { index: number }) => index), [0, 1, 2]);
  assertEquals([body.usage.prompt_tokens, body.usage.completion_tokens], [8, 15]);
  assertEquals([body.usage.specache.seed, body.usage.specache.near_bytes], [41, 3]);
});

test("other answers begin when the first has its first token", async () => {
  const gate = new Gate();
  const engine = new FakeEngine({ sequences: 4, token: () => gate.pass() });
  const answer = createApp(engine).fetch(post(path, chatBody({ n: 3 })));
  await until(() => engine.running === 1);
  await new Promise((later) => setTimeout(later, 20));
  assertEquals(engine.running, 1);
  gate.open(1);
  await until(() => engine.running === 3);
  gate.open(100);
  assertEquals((await (await answer).json()).choices.length, 3);
});

test("answers that say nothing end all the same", async () => {
  const engine = new FakeEngine({ sequences: 2, text: "" });
  const body = await (await createApp(engine).fetch(post(path, chatBody({ n: 3 })))).json();
  const texts = body.choices.map(({ message }: { message: { content: string } }) =>
    message.content
  );
  assertEquals(texts, ["", "", ""]);
});

test("a stream has all answers by their indices, and one usage", async () => {
  const engine = new FakeEngine({ sequences: 4 });
  const asked = { n: 3, stream: true, stream_options: { include_usage: true } };
  const events = await eventsOf(await createApp(engine).fetch(post(path, chatBody(asked))));
  assertEquals(events.at(-1), "[DONE]");
  assertEquals(events.at(-2).usage.completion_tokens, 15);
  for (let index = 0; index < 3; index++) {
    const choices = events.slice(0, -2).map((event) => event.choices[0])
      .filter((choice) => choice.index === index);
    assertEquals(choices[0].delta.role, "assistant");
    assertEquals(choices.map(({ delta }) => delta.content ?? "").join(""), "hello");
    assertEquals(choices.at(-1).finish_reason, "stop");
  }
});

test("a client that leaves ends all answers", async () => {
  const gate = new Gate();
  const engine = new FakeEngine({ sequences: 4, token: () => gate.pass() });
  const left = new AbortController();
  const asked = post(path, chatBody({ n: 3, stream: true }), { signal: left.signal });
  const response = await createApp(engine).fetch(asked);
  gate.open(1);
  const read = response.text().catch(() => {});
  await until(() => engine.running === 3);
  left.abort();
  await until(() => engine.running === 0);
  await read;
});

test("a server that closes finishes all answers to what runs", async () => {
  const gate = new Gate();
  const engine = new FakeEngine({ token: () => gate.pass() });
  const closing = new AbortController();
  const app = createApp(engine, { closing: closing.signal });
  const body = { model: "fake", prompt: ["a", "b"], n: 2 };
  const answer = app.fetch(post("/v1/completions", body));
  await until(() => engine.running === 1);
  closing.abort();
  gate.open(100);
  const { choices } = await (await answer).json();
  assertEquals(choices.map(({ text }: { text: string }) => text), Array(4).fill("hello"));
});

test("an answer that is refused or fails ends the others, and is told", async () => {
  for (const stream of [false, true]) {
    const engine = new FakeEngine({ sequences: 4, fails: new Error("/home/me") });
    const response = await createApp(engine).fetch(post(path, chatBody({ n: 2, stream })));
    const text = await response.text();
    assertEquals(response.status, stream ? 200 : 500);
    assert(text.includes("server_error") && !text.includes("/home"), text);
    await until(() => engine.running === 0);
  }
});

// An engine whose queue is full for so many of the generations after the first.
class Full extends FakeEngine {
  tries = 0;

  constructor(readonly refusals: number, readonly from = 1) {
    super({ sequences: 4 });
  }

  override generate(options: GenerateOptions): ServedGeneration {
    const at = this.tries++;
    if (at < this.from || at >= this.from + this.refusals) return super.generate(options);
    const details = { waiting: 0, queue: 0 };
    const full = new SpecacheError("busy", "Cannot generate: 0 requests wait", { details });
    const [started, result] = [Promise.reject(full), Promise.reject(full)];
    for (const each of [started, result]) each.catch(() => {});
    return { started, result, async *[Symbol.asyncIterator]() {} };
  }
}

for (const body of [chatBody({ n: 4 }), { model: "fake", prompt: ["a", "b"], n: 2 }]) {
  test(`a queue that fills refuses no other answer to ${JSON.stringify(body)}`, async () => {
    const engine = new Full(5);
    const place = "messages" in body ? path : "/v1/completions";
    const response = await createApp(engine).fetch(post(place, body));
    assertEquals([response.status, (await response.json()).choices.length], [200, 4]);
    assertEquals([engine.asked.length, engine.tries], [4, 9]);
  });
}

test("a queue that is full before the first answer refuses all", async () => {
  const engine = new Full(1, 0);
  const response = await createApp(engine).fetch(post(path, chatBody({ n: 4 })));
  assertEquals([response.status, engine.tries, engine.asked.length], [429, 1, 0]);
});

test("a client that leaves while its other answers wait for the queue ends them", async () => {
  const engine = new Full(Infinity);
  const left = new AbortController();
  const asked = post(path, chatBody({ n: 3, stream: true }), { signal: left.signal });
  const read = (await createApp(engine).fetch(asked)).text().catch(() => {});
  await until(() => engine.tries > 3);
  left.abort();
  await read;
  const { tries } = engine;
  await new Promise((later) => setTimeout(later, 500));
  assertEquals([engine.running, engine.tries <= tries + 2], [0, true]);
});

test("where one of several answers fails, the others that still run are ended", async () => {
  const failing = new FakeEngine({ sequences: 4, fails: new Error("no more") });
  class Engine extends FakeEngine {
    override generate(options: GenerateOptions) {
      return options.seed === 8 ? failing.generate(options) : super.generate(options);
    }
  }
  for (const stream of [false, true]) {
    const gate = new Gate();
    const engine = new Engine({ sequences: 4, token: () => gate.pass() });
    const asked = post(path, chatBody({ n: 3, seed: 7, stream }));
    const answer = createApp(engine).fetch(asked);
    await until(() => engine.running === 1);
    gate.open(1); // the others begin by it, and wait for a second token
    const text = await (await answer).text();
    assert(text.includes("server_error"), text);
    await until(() => engine.running === 0);
  }
});
