import { readFileSync } from "node:fs";
import { SpecacheError } from "../../mod.ts";
import { type AppOptions, bodyBytesFor, createApp } from "../../routes/app.ts";
import { pathOf, spawned } from "../cli/command.ts";
import { assert, assertEquals, assertMatch, runtime, test } from "../harness.ts";
import { chatBody, FakeEngine, post } from "./fake.ts";

const chat = "/v1/chat/completions";

function get(path: string, init: RequestInit = {}): Request {
  return new Request(`http://localhost${path}`, init);
}

async function answer(request: Request, options: AppOptions = {}, engine = new FakeEngine()) {
  const response = await createApp(engine, options).fetch(request);
  return { status: response.status, headers: response.headers, body: await response.json() };
}

test("/health answers without a key", async () => {
  const { status, body } = await answer(get("/health"), { keys: ["secret"] });
  assertEquals([status, body], [200, { status: "ok" }]);
});

test("/v1/models lists the model, and tells it by its name", async () => {
  const list = await answer(get("/v1/models"));
  const [model] = list.body.data;
  assertEquals([list.body.object, list.body.data.length], ["list", 1]);
  assertEquals([model.id, model.object, model.owned_by], ["fake", "model", "specache"]);
  assertEquals((await answer(get("/v1/models/fake"))).body, model);
});

test("the app calls the model as it is told to", async () => {
  const name = "me/a model";
  const list = await answer(get("/v1/models"), { name });
  assertEquals(list.body.data[0].id, name);
  assertEquals((await answer(get("/v1/models/me/a%20model"), { name })).status, 200);
  assertEquals((await answer(get("/v1/models/me%2Fa%20model"), { name })).status, 200);
  const { body } = await answer(post(chat, chatBody({ model: name })), { name });
  assertEquals(body.model, name);
  assertEquals((await answer(post(chat, chatBody({ model: "fake" })), { name })).status, 404);
});

test("a key is asked for below /v1, and any of the keys will do", async () => {
  const keys = ["secret", "other-secret"];
  for (const key of keys) {
    const headers = { Authorization: `Bearer ${key}` };
    assertEquals((await answer(get("/v1/models", { headers }), { keys })).status, 200);
    assertEquals((await answer(post(chat, chatBody(), { headers }), { keys })).status, 200);
  }
  const wrong = ["Bearer secre", "Bearer secrets", "Bearer", "Bearer ", "Basic secret", "secret"];
  for (const header of [undefined, ...wrong]) {
    const headers: Record<string, string> = header === undefined ? {} : { Authorization: header };
    for (const path of ["/v1/models", chat, "/v1/nothing"]) {
      const { status, body, headers: told } = await answer(get(path, { headers }), { keys });
      assertEquals([status, body.error.code], [401, "invalid_api_key"], header);
      assertEquals(told.get("WWW-Authenticate"), "Bearer");
      assertMatch(body.error.message, /^Cannot answer: [^\n]+$/);
      assert(!JSON.stringify(body).includes('secret"'));
    }
  }
});

test("no key is right where there are none", async () => {
  const headers = { Authorization: "Bearer secret" };
  assertEquals((await answer(get("/v1/models", { headers }), { keys: [] })).status, 401);
});

const refusals: readonly [string, Request, status: number, code: string, param: string | null][] = [
  ["a path that is not known", get("/v1/nothing"), 404, "not_found", null],
  ["a model that is not served", get("/v1/models/gpt"), 404, "model_not_found", "model"],
  ["GET of chat", get(chat), 405, "method_not_allowed", null],
  ["DELETE of models", get("/v1/models", { method: "DELETE" }), 405, "method_not_allowed", null],
  ["POST of health", post("/health", {}), 405, "method_not_allowed", null],
  ["text", post(chat, "{}", { headers: { "Content-Type": "text/plain" } }), ...unsupported()],
  ["no type", new Request(`http://localhost${chat}`, { method: "POST" }), ...unsupported()],
  ["no JSON", post(chat, "{"), 400, "argument", "body"],
  ["an empty body", post(chat, ""), 400, "argument", "body"],
  ["a list", post(chat, []), 400, "argument", "body"],
  ["null", post(chat, "null"), 400, "argument", "body"],
  ["a large body", post(chat, " ".repeat(bodyBytesFor(1000) + 1)), 413, "body_too_large", "body"],
];

function unsupported(): [number, string, null] {
  return [415, "unsupported_media_type", null];
}

for (const [name, request, status, code, param] of refusals) {
  test(`the app refuses ${name} with ${status} in OpenAI's shape`, async () => {
    const { status: told, body } = await answer(request);
    assertEquals([told, body.error.code, body.error.param], [status, code, param]);
    assertEquals(Object.keys(body), ["error"]);
    assertEquals(body.error.type, "invalid_request_error");
    assertMatch(body.error.message, /^Cannot [^\n]+[^\n.]$/);
  });
}

test("405 tells the methods that a path takes", async () => {
  assertEquals((await answer(get(chat))).headers.get("Allow"), "POST");
  assertEquals((await answer(post("/health", {}))).headers.get("Allow"), "GET, HEAD");
});

test("the app refuses a body that is not UTF-8", async () => {
  const request = new Request(`http://localhost${chat}`, {
    method: "POST",
    headers: { "Content-Type": "application/json; charset=utf-8" },
    body: new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d]),
  });
  const { status, body } = await answer(request);
  assertEquals([status, body.error.message], [400, "Cannot read the body: it is not UTF-8"]);
});

test("the app reads no more of a body without a length than the limit", async () => {
  let pulled = 0;
  const body = new ReadableStream({
    pull(controller) {
      pulled++;
      controller.enqueue(new Uint8Array(100));
    },
  });
  const headers = { "Content-Type": "application/json" };
  const init = { method: "POST", headers, body, duplex: "half" };
  const { status } = await answer(get(chat, init as RequestInit), { bodyBytesMax: 1000 });
  assertEquals(status, 413);
  assert(pulled < 20, `${pulled} chunks of 100 bytes`);
});

test("a body of exactly the limit is read", async () => {
  const text = JSON.stringify(chatBody());
  const bodyBytesMax = text.length;
  assertEquals((await answer(post(chat, text), { bodyBytesMax })).status, 200);
  assertEquals((await answer(post(chat, text + " "), { bodyBytesMax })).status, 413);
});

test("what fails on our side is reported, and the client hears no more of it", async () => {
  const failures = [
    new SpecacheError("file", "Cannot read /home/me/model: EIO"),
    new SpecacheError("internal", "Cannot go on in /home/me"),
    new TypeError("/home/me is not a function"),
  ];
  for (const failure of failures) {
    for (const options of [{ refuses: failure }, { fails: failure }]) {
      const reported: unknown[] = [];
      const report = (error: unknown) => void reported.push(error);
      const engine = new FakeEngine(options);
      const { status, body } = await answer(post(chat, chatBody()), { report }, engine);
      assertEquals([status, body.error.type, body.error.code], [500, "server_error", "internal"]);
      assert(!JSON.stringify(body).includes("/home"));
      assertEquals(reported, [failure]);
    }
  }
});

test("what the engine refuses for now is 503, to be tried again", async () => {
  const refuses = new SpecacheError("busy", "Cannot generate: the session is generating");
  const { status, headers, body } = await answer(
    post(chat, chatBody()),
    {},
    new FakeEngine({ refuses }),
  );
  assertEquals([status, headers.get("Retry-After"), body.error.code], [503, "1", "busy"]);
});

// What a module loads when it runs: imports of types alone are erased.
function loadedBy(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const text = readFileSync(pathOf(file), "utf8");
  const imports = text.matchAll(/^(?:import|export) (?!type )[^;]*?from "(\.[^"]+)";/gms);
  for (const [, path] of imports) {
    loadedBy(new URL(path, `file:///${file}`).pathname.slice(1), seen);
  }
  return seen;
}

test("the app loads nothing of ffi/", () => {
  const files = [...loadedBy("routes/app.ts")];
  assert(files.includes("routes/chat.ts") && files.includes("engine/parse.ts"));
  assertEquals(files.filter((file) => file.startsWith("ffi/")), []);
});

if (runtime === "deno") {
  test("the app runs without any permission", async () => {
    const { status, stdout, stderr } = await spawned("tests/routes/health.ts", [], true, {}, []);
    assertEquals([status, stdout], [0, "200\n"], stderr);
  });
}
