// Tenants that hold sessions and stores: where all are taken, one that has more makes way.
import { ensureLibrary, KvStore, type KvStoreOptions } from "../../mod.ts";
import { assert, assertEquals, test } from "../harness.ts";
import { type Asker, asking, assertRefused } from "./ask.ts";
import type { FakeOptions } from "./fake.ts";

await ensureLibrary();

const [sessions, stores] = ["/v1/sessions", "/v1/stores"];
const sizes: KvStoreOptions = { layers: 1, kvHeads: 1, queryHeads: 1, headDim: 16, threads: 1 };
const store = { ...sizes, contextTokens: 256 };
const { reservedBytes, farBytes } = KvStore.plan(store);
const bytes = reservedBytes + farBytes; // of one store

function tenants(options: object = {}, fake: FakeOptions = {}) {
  const asker = asking({ keys: ["one", "two", "three"], stores: KvStore, ...options }, fake);
  const [one, two, three] = ["one", "two", "three"].map((key) => asker.as(key));
  return { asker, one, two, three };
}

// Paths of what was made, one after the other.
async function made(asker: Asker, path: string, count: number, body = {}): Promise<string[]> {
  const paths = [];
  for (let at = 0; at < count; at++) {
    const answer = await asker.post(path, body);
    assertEquals(answer.status, 201, JSON.stringify(answer.body));
    paths.push(`${path}/${answer.body.id}`);
  }
  return paths;
}

async function kept(asker: Asker, paths: readonly string[]): Promise<boolean[]> {
  const answers = await Promise.all(paths.map((path) => asker.get(path)));
  return answers.map(({ status }) => status === 200);
}

// For which what was just used makes no way.
const rest = () => new Promise((answer) => setTimeout(answer, 1100));
const moment = () => new Promise((answer) => setTimeout(answer, 1));

test("the session that a tenant used least recently makes way for one that has fewer", async () => {
  const { asker, one, two, three } = tenants({}, { sessionsMax: 5 });
  const all = await made(one, sessions, 4);
  await one.post(`${all[0]}/append`, { ids: [1] });
  const early = await two.post(sessions);
  assertRefused(early, 503, "capacity", /4 are open, and the server has 4$/);
  assertEquals(early.headers.get("Retry-After"), "1");
  await rest();
  assertRefused(await one.post(sessions), 503, "capacity"); // none of its own makes way for it
  const asked = await Promise.all([1, 2, 3].map(() => two.post(sessions)));
  assertEquals(asked.map(({ status }) => status).sort(), [201, 201, 503]);
  assertEquals(await kept(one, all), [true, false, false, true]);
  assertEquals(asker.engine.open.size, 4);
  assertRefused(await one.post(`${all[1]}/append`, { ids: [1] }), 404, "session_not_found");
  await rest();
  const nobodys = `${sessions}/${crypto.randomUUID()}/fork`;
  assertRefused(await three.post(nobodys), 404, "session_not_found");
  assertEquals(asker.engine.open.size, 4); // nothing made way for it
  assertEquals((await three.post(sessions)).status, 201);
  assertRefused(await three.post(sessions), 503, "capacity"); // 2, 1 and 1, or 1, 2 and 1
  asker.close();
});

test("a session at work makes no way", async () => {
  const never = new Promise<void>(() => {});
  const fake = { sessionsMax: 4, sequences: 3, token: () => never };
  const { asker, one, two } = tenants({}, fake);
  const all = await made(one, sessions, 3);
  const runs = all.map((path) => one.post(`${path}/generate`, { prompt: "a" }));
  while (asker.engine.running < 3) await moment();
  await rest();
  assertRefused(await two.post(sessions), 503, "capacity", /3 are open/);
  assertEquals(await kept(one, all), [true, true, true]);
  for (const path of all) await one.delete(path);
  await Promise.all(runs);
});

test("where one session is all there are, nobody has more than who asks", async () => {
  const { asker, one, two } = tenants({ sessionsMax: 1 });
  const all = await made(one, sessions, 1);
  await rest();
  assertRefused(await two.post(sessions), 503, "capacity", /1 are open, and the server has 1$/);
  assertEquals(await kept(one, all), [true]);
  asker.close();
});

test("stores make way one by one where as many as may be are open", async () => {
  const { asker, one, two } = tenants({ storesMax: 3 });
  const [first, second] = await made(one, stores, 2, { ...store, sequences: 2 });
  const fork = await one.post(`${second}/fork`);
  assertEquals(fork.status, 201);
  assertRefused(await two.post(stores, store), 503, "capacity", /3 are open/);
  await rest();
  await one.post(`${first}/truncate`, { tokens: 0 });
  await rest();
  const all = [first, second, `${stores}/${fork.body.id}`];
  assertEquals((await two.post(stores, store)).status, 201);
  assertEquals((await kept(one, all)).filter((each) => each).length, 2);
  assert((await kept(one, all))[0]);
  assertRefused(await two.post(stores, store), 503, "capacity", /3 are open/);
  asker.close();
});

test("a store with its forks makes way where bytes are wanted, and none in vain", async () => {
  const two_ = { ...store, sequences: 2 };
  const plan = KvStore.plan(two_);
  const large = plan.reservedBytes + plan.farBytes;
  const { asker, one, two, three } = tenants({ storeBytesMax: large + 2 * bytes });
  const [own] = await made(two, stores, 1, store);
  const [most] = await made(one, stores, 1, two_);
  const fork = await one.post(`${most}/fork`);
  const both = [most, `${stores}/${fork.body.id}`];
  const [last] = await made(one, stores, 1, store);
  await rest();
  // More than what makes way, and nothing is closed for it.
  const much = { ...store, sequences: 3 };
  assertRefused(await two.post(stores, much), 503, "capacity");
  assertEquals(await kept(one, [...both, last]), [true, true, true]);
  assertEquals((await two.post(stores, store)).status, 201);
  assertEquals(await kept(one, [...both, last]), [false, false, true]);
  assertEquals(await kept(two, [own]), [true]);
  assertEquals((await three.post(stores, store)).status, 201); // there is room
  const told = (await one.get(last)).body.bytes.reserved;
  assertEquals(told, bytes);
  asker.close();
});

test("stores of several tenants that are opened at once are never above the limits", async () => {
  const { asker, one, two, three } = tenants({ storesMax: 4, storeBytesMax: 4 * bytes });
  await made(one, stores, 4, store);
  await rest();
  const asked = [two, three].flatMap((each) => [1, 2, 3].map(() => each.post(stores, store)));
  const statuses = (await Promise.all(asked)).map(({ status }) => status);
  const lists = await Promise.all([one, two, three].map((each) => each.get(stores)));
  const counts = lists.map(({ body }) => body.data.length);
  assertEquals(counts.reduce((a, b) => a + b), 4);
  assert(counts.every((count) => count >= 1), counts.join());
  assertEquals(statuses.filter((status) => status === 201).length, counts[1] + counts[2]);
  asker.close();
});
