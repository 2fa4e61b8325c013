import { SpecacheError } from "../../mod.ts";
import { assert, assertEquals, test } from "../harness.ts";
import { type Asker, asking, assertRefused } from "./ask.ts";
import { FakeEngine, type FakeOptions, post } from "./fake.ts";
import { createApp } from "../../routes/app.ts";

const path = "/v1/generate";

// deno-lint-ignore no-explicit-any -- tests read whatever an event holds
async function events(asker: Asker, body: object, at = path): Promise<any[]> {
  const { status, headers, body: text } = await asker.post(at, { ...body, stream: true });
  assertEquals([status, headers.get("Content-Type")], [200, "text/event-stream"]);
  return text.split("\n\n").filter((each: string) => each !== "")
    .map((each: string) => JSON.parse(each.replace(/^data: /, "")));
}

test("/v1/generate takes a generation's options by their own names", async () => {
  const asker = asking();
  const options = {
    ...{ prompt: "hi", maxTokens: 3, temperature: 0.5, topK: 4, topP: 0.9, minP: 0.1, seed: 7 },
    ...{ repetitionPenalty: 1.1, presencePenalty: 0.5, frequencyPenalty: -0.5, k: 5 },
    ...{ late: { above: 0.5 }, guesses: 2, accept: "off", stop: ["x"], logprobs: 2 },
  };
  const { status, body } = await asker.post(path, options);
  assertEquals(status, 200);
  const { signal, progress, ...asked } = asker.engine.asked[0];
  assertEquals(asked, { ...options, salt: "", client: "" } as typeof asked);
  assert(signal instanceof AbortSignal && progress === undefined);
  assertEquals([body.result.text, body.result.stop], ["hel", "length"]);
});

test("/v1/generate answers the result, and pieces where probabilities are asked for", async () => {
  const asker = asking({}, { text: "hé" });
  const plain = await asker.post(path, { ids: [1, 2] });
  assertEquals(Object.keys(plain.body), ["result"]);
  assertEquals(plain.body.result.tokens, [104, 233]);
  assertEquals(plain.body.result.usage.promptTokens, 2);
  const { body } = await asker.post(path, { ids: [1, 2], logprobs: 2 });
  const pieces = ([[104, "h"], [233, "é"]] as const).map(([id, text]) => ({
    piece: { id, text, logprob: -0.5, logprobs: [[id, -0.5], [65, -1.5]] },
    texts: { [id]: text, 65: "A" },
  }));
  assertEquals(body.pieces, pieces);
});

test("a stream of /v1/generate starts, tells of its prompt, its pieces, its result", async () => {
  const asker = asking({}, { text: "ab" });
  const told = await events(asker, { prompt: "four" });
  assertEquals(told.slice(0, -1), [
    { started: true },
    { prefilled: { tokens: 4, promptTokens: 4 } },
    { piece: { id: 97, text: "a" } },
    { piece: { id: 98, text: "b" } },
  ]);
  assertEquals(Object.keys(told.at(-1)), ["result"]);
  assertEquals(told.at(-1).result, (await asker.post(path, { prompt: "four" })).body.result);
});

test("a stream that fails ends with the error, and is reported if it is ours", async () => {
  const fails = new SpecacheError("device", "Cannot go on in /home/me: no device");
  const asker = asking({}, { fails });
  const { error } = (await events(asker, { prompt: "x" })).at(-1);
  assertEquals([error.code, error.type, error.message.includes("/home")], [
    "internal",
    "server_error",
    false,
  ]);
  assertEquals(asker.reported, [fails]);
});

const refusals: readonly [body: unknown, code: string, sentence: RegExp][] = [
  [{ prompt: 3 }, "argument", /prompt 3 is not a string$/],
  [{ prompt: "a", maxTokens: -1 }, "argument", /maxTokens -1 is below 0$/],
  [{ prompt: "a", max_tokens: 1 }, "argument", /option max_tokens is not known$/],
  [{ ids: [4294967296] }, "argument", /ids\[0\] 4294967296 is above 4294967295$/],
  [{ ids: ["1"] }, "argument", /ids\[0\] "1" is not a number$/],
  [{ prompt: "a", stream: 1 }, "argument", /stream 1 is not a boolean$/],
  [{ prompt: "a", stream: null }, "argument", /stream null is not a boolean$/],
  [{ prompt: "a", signal: {} }, "argument", /signal is no option of a request$/],
  [{ prompt: "a", progress: null }, "argument", /progress is no option of a request$/],
  [{ prompt: "a", salt: "other" }, "argument", /salt is no option of a request$/],
  [{ prompt: "a", client: "other" }, "argument", /client is no option of a request$/],
  ['{"prompt":"a","__proto__":{}}', "argument", /option __proto__ is not known$/],
  ["[".repeat(65) + "]".repeat(65), "argument", /it is nested deeper than 64$/],
  ['{"prompt":' + "[".repeat(5e4), "argument", /it is nested deeper than 64$/],
  ['{"prompt":"' + "[".repeat(1e2) + "}", "argument", /it is not JSON/],
];

for (const [body, code, sentence] of refusals) {
  test(`/v1/generate refuses ${JSON.stringify(body).slice(0, 80)}`, async () => {
    const asker = asking();
    assertRefused(await asker.post(path, body), 400, code, sentence);
    assertEquals(asker.engine.asked, []);
  });
}

test("brackets and quotes within a text of a body are no nesting", async () => {
  const asker = asking();
  const prompt = '"\\'.repeat(100) + "[{".repeat(100);
  assertEquals((await asker.post(path, { prompt, maxTokens: 1 })).status, 200);
  assertEquals(asker.engine.asked[0].prompt, prompt);
});

test("another method of /v1/generate is refused", async () => {
  const answer = await asking().get(path);
  assertRefused(answer, 405, "method_not_allowed");
  assertEquals(answer.headers.get("Allow"), "POST");
});

test("a client of /v1/generate that leaves ends its generation, whole or streamed", async () => {
  for (const stream of [false, true]) {
    const options: FakeOptions = { token: (at) => at === 1 ? new Promise(() => {}) : undefined };
    const engine = new FakeEngine(options);
    const left = new AbortController();
    const request = post(path, { prompt: "a", stream }, { signal: left.signal });
    const answer = Promise.resolve(createApp(engine).fetch(request)).then((each) => each.text());
    while (engine.running === 0) await new Promise((answer) => setTimeout(answer, 1));
    left.abort();
    await answer.catch(() => {});
    while (engine.running > 0) await new Promise((answer) => setTimeout(answer, 1));
  }
});
