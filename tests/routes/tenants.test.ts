// A front tells its tenants apart by a header; whoever sends it splits what is their own.
import { TENANT_HEADER } from "../../routes/keys.ts";
import { createApp } from "../../routes/app.ts";
import { assertEquals, assertNotEquals, assertStringIncludes, test } from "../harness.ts";
import { chatBody, FakeEngine, post } from "./fake.ts";

async function saltsOf(asks: readonly (readonly [key: string, part?: string])[]) {
  const engine = new FakeEngine();
  const app = createApp(engine, { keys: ["anna", "bert"] });
  for (const [key, part] of asks) {
    const headers: Record<string, string> = { Authorization: `Bearer ${key}` };
    if (part !== undefined) headers[TENANT_HEADER] = part;
    const { status } = await app.fetch(post("/v1/chat/completions", chatBody(), { headers }));
    assertEquals(status, 200);
  }
  for (const { salt, client } of engine.asked) assertEquals(salt, client);
  return engine.asked.map(({ salt }) => salt!);
}

test("the header parts a key's tenant, and the same text is the same part", async () => {
  const [whole, one, again, other] = await saltsOf([
    ["anna"],
    ["anna", "one"],
    ["anna", "one"],
    ["anna", "other"],
  ]);
  assertEquals(one, again);
  assertEquals(new Set([whole, one, other]).size, 3);
});

test("nobody comes into another key's tenant by the header, nor by nothing in it", async () => {
  const [anna, annaPart, empty] = await saltsOf([["anna"], ["anna", "x"], ["anna", ""]]);
  assertEquals(empty, anna);
  const parts = ["x", anna, annaPart, `${anna} x`];
  const salts = await saltsOf([["bert"], ...parts.map((part) => ["bert", part] as const)]);
  for (const salt of salts) for (const hers of [anna, annaPart]) assertNotEquals(salt, hers);
});

test("where no key is asked for the header parts what all share", async () => {
  const engine = new FakeEngine();
  const app = createApp(engine);
  for (const part of ["", "x", "y"]) {
    const headers = { [TENANT_HEADER]: part };
    await app.fetch(post("/v1/chat/completions", chatBody(), { headers }));
  }
  const [none, ...parts] = engine.asked.map(({ salt }) => salt);
  assertEquals([none, new Set(parts).size, parts.includes("")], ["", 2, false]);
});

test("the header may have 200 characters", async () => {
  const app = createApp(new FakeEngine());
  const statuses = [];
  for (const length of [199, 200, 201]) {
    const headers = { [TENANT_HEADER]: "x".repeat(length) };
    const answer = await app.fetch(post("/v1/chat/completions", chatBody(), { headers }));
    statuses.push(answer.status);
    if (answer.status === 400) {
      const { error } = await answer.json();
      assertStringIncludes(error.message, "201 characters of the header Specache-Tenant");
    }
  }
  assertEquals(statuses, [200, 200, 400]);
});
