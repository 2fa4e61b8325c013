// The `openai` package from npm, unchanged, against `specache serve` with the shipped model.
import process from "node:process";
import OpenAI from "openai";
import { assert, assertEquals, assertMatch, assertRejects, test } from "../harness.ts";
import { command, Folder } from "./command.ts";
import { Server, template, until } from "./server.ts";

const said = "The code of amber is 44219. The weather is fine.";
const question = {
  model: "needle",
  messages: [{ role: "user" as const, content: said }],
  max_tokens: 6,
  temperature: 0,
};

interface Served {
  readonly server: Server;
  /** A client with a key of the server's. */
  readonly client: OpenAI;
}

async function serving(
  body: (served: Served) => Promise<void>,
  args: readonly string[] = [],
): Promise<void> {
  using folder = new Folder();
  const file = folder.file("template", template);
  const keys = folder.file("keys", "first-key\n\nsecond-key\r\n");
  await using server = await Server.start(file, [
    "--api-key-file",
    keys,
    "--context",
    "4096",
    ...args,
  ]);
  const client = new OpenAI({ baseURL: server.url, apiKey: "second-key", maxRetries: 0 });
  await body({ server, client });
}

test("openai chats with and streams from specache serve, and lists its model", () =>
  serving(async ({ server, client }) => {
    const models = await client.models.list();
    assertEquals(models.data.map(({ id }) => id), ["needle"]);
    assertEquals((await client.models.retrieve("needle")).owned_by, "specache");

    const chat = await client.chat.completions.create(question);
    assertEquals(chat.choices[0].message.content, " 44219");
    assertEquals(chat.choices[0].finish_reason, "length");
    assertEquals(chat.usage!.completion_tokens, 6);

    const stream = await client.chat.completions.create({
      ...question,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage;
    }
    assertEquals([text, usage?.total_tokens], [" 44219", chat.usage!.total_tokens]);

    const helped = client.chat.completions.stream(question); // its own way to put chunks together
    assertEquals(await helped.finalContent(), " 44219");
    assertEquals(await server.end(), 0);
    assertEquals(server.stderr, "Finishing what runs; again ends it at once\n");
  }));

test("openai's options reach the engine: stop, seed, logprobs, and ours", () =>
  serving(async ({ client }) => {
    const { create } = client.chat.completions;
    const ask = create.bind(client.chat.completions);
    const stopped = await ask({ ...question, max_tokens: 20, stop: ["219"] });
    assertEquals(stopped.choices[0].message.content, " 44");
    assertEquals(stopped.choices[0].finish_reason, "stop");

    const sampled = { ...question, temperature: 1, seed: 3, max_tokens: 12 };
    const [one, two] = [await ask(sampled), await ask(sampled)];
    assertEquals(one.choices[0].message, two.choices[0].message);

    const told = await ask({ ...question, logprobs: true, top_logprobs: 2 });
    const tokens = told.choices[0].logprobs!.content!;
    assertEquals(tokens.map(({ token }) => token).join(""), " 44219");
    for (const { logprob, top_logprobs } of tokens) {
      assertEquals(top_logprobs.length, 2);
      assertEquals(top_logprobs[0].logprob, logprob); // greedy: the most probable one
    }

    const ours = { ...question, k: 16, late: "all", guesses: 1, accept: "off" };
    assertEquals((await ask(ours as typeof question)).choices[0].message.content, " 44219");
  }));

test("openai meets its own errors: key, body, model, length", () =>
  serving(async ({ server, client }) => {
    const stranger = new OpenAI({ baseURL: server.url, apiKey: "first-kez", maxRetries: 0 });
    const ask = (fields: object, by = client) =>
      by.chat.completions.create({ ...question, ...fields });
    const wrongKey = await assertRejects(() => ask({}, stranger), OpenAI.AuthenticationError);
    assertEquals([wrongKey.status, wrongKey.code], [401, "invalid_api_key"]);
    const broken = await assertRejects(() => ask({ temperature: 3 }), OpenAI.BadRequestError);
    assertEquals([broken.status, broken.param], [400, "temperature"]);
    assertMatch(broken.message, /temperature 3 is above 2$/);
    const engines = await assertRejects(() => ask({ k: 300 } as object), OpenAI.BadRequestError);
    assertEquals(engines.param, "k"); // a limit that only the engine knows
    const model = await assertRejects(() => ask({ model: "gpt-5" }), OpenAI.NotFoundError);
    assertEquals(model.code, "model_not_found");
    const long = await assertRejects(() => ask({ max_tokens: 4096 }), OpenAI.BadRequestError);
    assertEquals(long.code, "context_length_exceeded");
    assertEquals(server.stderr, "");
  }));

test("many clients at once get the answer that each alone gets", () =>
  serving(async ({ client }) => {
    const codes = Array.from({ length: 8 }, (_, at) => String(10000 + at * 9871));
    const answers = await Promise.all(codes.map(async (code, at) => {
      const content = `The code of amber is ${code}. The weather is fine.`;
      const asked = { ...question, messages: [{ role: "user" as const, content }] };
      if (at % 2 === 0) return await client.chat.completions.stream(asked).finalContent();
      return (await client.chat.completions.create(asked)).choices[0].message.content;
    }));
    assertEquals(answers, codes.map((code) => ` ${code}`));
  }));

test("openai's abort ends the generation at once, whole, streamed or waiting", () =>
  serving(async ({ client }) => {
    const long = { ...question, max_tokens: 1200, stop: "never to be seen" };
    const client2 = () => client.chat.completions;
    // What it takes when nothing is cut short: the rest must take far less.
    const started = performance.now();
    const full = await client2().create(long);
    const fullMs = performance.now() - started;
    assert(full.usage!.completion_tokens > 500, `${full.usage!.completion_tokens} tokens`);

    const cut = performance.now();
    const stream = await client2().create({ ...long, stream: true });
    for await (const chunk of stream) if (chunk.choices[0].delta.content) break; // aborts
    const abort = new AbortController();
    const runs = client2().create(long, { signal: abort.signal });
    const waits = client2().create(long, { signal: abort.signal });
    await new Promise((answer) => setTimeout(answer, 100));
    abort.abort();
    for (const gone of [runs, waits]) await assertRejects(() => gone, OpenAI.APIUserAbortError);
    const next = await client2().create(question);
    assertEquals(next.choices[0].message.content, " 44219");
    const cutMs = performance.now() - cut;
    assert(cutMs < fullMs / 2, `${cutMs} ms, ${fullMs} ms in full`);
  }));

test("SIGTERM and Ctrl-C finish what runs, and tell what waits", async () => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    await serving(async ({ server, client }) => {
      // So long that it is not over when the signal comes: some 2,000 tokens take a second.
      const chat = { ...question, max_tokens: 3000, stream: true } as const;
      const stream = await client.chat.completions.create(chat);
      const waits = client.chat.completions.create(question);
      waits.catch(() => {});
      await new Promise((answer) => setTimeout(answer, 200)); // it has come, and waits
      const ended = server.end(signal);
      await until(() => server.stderr.includes("Finishing"));
      let tokens = 0;
      let reason: string | null = null;
      for await (const chunk of stream) {
        tokens++;
        reason = chunk.choices[0].finish_reason ?? reason;
      }
      assert(tokens > 2900 && reason === "length", `${tokens} chunks, ${reason}`);
      const refused = await assertRejects(() => waits, OpenAI.InternalServerError);
      assertEquals(refused.status, 503);
      assertEquals(await ended, 0);
    }, ["--sequences", "1"]);
  }
});

test("specache serve says which port is taken", () =>
  serving(async ({ server }) => {
    using folder = new Folder();
    const listeners = process.listenerCount("SIGINT");
    const { port } = new URL(server.url);
    const file = folder.file("template", template);
    const { status, stdout, stderr } = await command([
      ...["serve", "--model", "models/needle", "--context", "128"],
      ...["--chat-template", file, "--port", port],
    ]);
    assertEquals([status, stdout], [2, ""]);
    assertEquals(process.listenerCount("SIGINT"), listeners);
    assertMatch(
      stderr,
      new RegExp(`^Cannot serve: --port ${port} of --host 127\\.0\\.0\\.1 is taken; .+\\n$`),
    );
  }));
