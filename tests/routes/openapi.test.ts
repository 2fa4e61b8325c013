// /openapi.json against the document's own schema, and against what is served.
import { readFileSync } from "node:fs";
import { Validator } from "@seriousme/openapi-schema-validator";
import { createApp } from "../../routes/app.ts";
import { assert, assertEquals, test } from "../harness.ts";
import { Asker, asking } from "./ask.ts";
import { FakeEngine } from "./fake.ts";

// deno-lint-ignore no-explicit-any -- tests read whatever the document holds
type Document = any;

async function documentOf(keys?: readonly string[]): Promise<Document> {
  const { status, body } = await new Asker(createApp(new FakeEngine(), { keys }))
    .get("/openapi.json");
  assertEquals(status, 200);
  return body;
}

test("/openapi.json is valid OpenAPI 3.1, with keys and without", async () => {
  for (const keys of [undefined, ["secret"]]) {
    const validator = new Validator();
    const { valid, errors } = await validator.validate(await documentOf(keys));
    assert(valid, JSON.stringify(errors));
    assertEquals(validator.version, "3.1");
  }
});

test("every path of /openapi.json is served, by its methods and no others", async () => {
  const { paths } = await documentOf();
  const methods = ["GET", "POST", "DELETE"];
  for (const [path, operations] of Object.entries<object>(paths)) {
    const place = `http://localhost${path.replace("{id}", "0").replace("{name}", "fake")}`;
    for (const method of methods) {
      const { app } = asking({ stores: noStores });
      const answer = await app.fetch(new Request(place, { method }));
      const { status } = answer;
      const isJson = answer.headers.get("Content-Type")?.startsWith("application/json");
      const body = isJson ? await answer.json() : await answer.body?.cancel(); // may never end
      const served = method.toLowerCase() in operations;
      const wrong = status === 405 || body?.error?.code === "not_found";
      assertEquals(wrong, !served, `${method} ${path}: ${status}`);
    }
  }
});

test("every path that the app mounts is in /openapi.json, but for the page", async () => {
  const { paths } = await documentOf();
  const texts = ["app.ts", "resources.ts"].map((name) =>
    readFileSync(new URL(`../../routes/${name}`, import.meta.url), "utf8")
  );
  const mounted = [...texts.join("").matchAll(/app\.route\("([^"]+)"/g)].map(([, path]) => path);
  assert(mounted.length > 10);
  const told = Object.keys(paths);
  const untold = mounted.filter((path) => !told.includes(path));
  assertEquals(untold, ["/"]);
});

const noStores = {
  plan: () => ({ reservedBytes: 0, farBytes: 0 }),
  open: () => {
    throw new Error("no store is opened here");
  },
};

test("the streams of events are told of as what they are", async () => {
  const { paths } = await documentOf();
  const { parameters, responses } = paths["/v1/events"].get;
  assertEquals(Object.keys(responses[200].content), ["text/event-stream"]);
  const names = parameters.map(({ name, required }: Document) => [name, required]);
  assertEquals(names, [["watch", false], ["list", false]]);
  assertEquals(Object.keys(responses[429].headers), ["Retry-After"]);
  const { content } = paths["/v1/generate"].post.responses[200];
  assertEquals(Object.keys(content), ["application/json", "text/event-stream"]);
});

test("only what needs a key is said to, and is refused without one", async () => {
  const { paths, components } = await documentOf(["secret"]);
  assertEquals(components.securitySchemes.key, { type: "http", scheme: "bearer" });
  const open = ["/health", "/ready", "/openapi.json"];
  for (const [path, operations] of Object.entries<Document>(paths)) {
    for (const [method, operation] of Object.entries<Document>(operations)) {
      const place = `http://localhost${path.replace(/\{.*\}/, "0")}`;
      const asker = asking({ keys: ["secret"] });
      const { status } = await asker.send(new Request(place, { method: method.toUpperCase() }));
      assertEquals([operation.security !== undefined, status === 401], [
        !open.includes(path),
        !open.includes(path),
      ], path);
      assertEquals(operation.responses[401] !== undefined, !open.includes(path), path);
      const others = createApp(new FakeEngine(), { keys: ["a", "b"] });
      const headers = { Authorization: "Bearer a" };
      const request = new Request(place, { method: method.toUpperCase(), headers });
      const answer = await others.fetch(request);
      await answer.body?.cancel(); // may never end
      assertEquals(operation.responses[403] !== undefined, answer.status === 403, path);
    }
  }
  assertEquals((await documentOf()).components.securitySchemes, undefined);
});

test("bodies are those that routes judge by, with nothing that is the server's own", async () => {
  const { schemas } = (await documentOf()).components;
  const { properties, additionalProperties } = schemas.GenerateRequest;
  assertEquals(additionalProperties, false);
  for (const name of ["prompt", "ids", "messages", "maxTokens", "stream", "k", "late"]) {
    assert(name in properties, name);
  }
  for (const name of ["signal", "progress", "salt", "client"]) assert(!(name in properties), name);
  assertEquals(schemas.StoreRequest.properties.far, { const: "ram" });
  for (const name of ["device", "isa", "prefetch"]) {
    assert(!(name in schemas.StoreRequest.properties), name);
  }
});

test("answers have the fields that /openapi.json promises", async () => {
  const { components: { schemas } } = await documentOf();
  const asker = asking();
  const session = await asker.post("/v1/sessions");
  const generate = { prompt: "a" };
  const told: Readonly<Record<string, Document>> = {
    Session: session.body,
    Sessions: (await asker.get("/v1/sessions")).body,
    Generated: (await asker.post("/v1/generate", generate)).body,
    GeneratedInSession:
      (await asker.post(`/v1/sessions/${session.body.id}/generate`, generate)).body,
    GenerateResult: (await asker.post("/v1/generate", generate)).body.result,
    Deleted: (await asker.delete(`/v1/sessions/${session.body.id}`)).body,
    Models: (await asker.get("/v1/models")).body,
    Model: (await asker.get("/v1/models/fake")).body,
    CachePlan: (await asker.get("/v1/plan")).body,
    Status: (await asker.get("/ready")).body,
    Error: (await asker.get("/v1/plan?tokens=x")).body,
    Stats: (await asker.get("/v1/stats")).body,
  };
  for (const [name, body] of Object.entries(told)) {
    for (const field of schemas[name].required) assert(field in body, `${name} has no ${field}`);
  }
});
