import { SpecacheError } from "../../mod.ts";
import { assert, assertEquals, assertMatch, test } from "../harness.ts";
import { asking, assertRefused } from "./ask.ts";
import { post } from "./fake.ts";

const path = "/v1/sessions";
const never = new Promise<void>(() => {});
const moment = () => new Promise((answer) => setTimeout(answer, 1));

test("a session is created, appended to, generates, is truncated, told and deleted", async () => {
  const asker = asking();
  const made = await asker.post(path);
  const { id } = made.body;
  assertEquals([made.status, made.headers.get("Location")], [201, `${path}/${id}`]);
  assertMatch(id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assertEquals([made.body.length, made.body.busy], [0, false]);
  const seconds = made.body.expires - made.body.created;
  assert(Math.abs(seconds - 3600) <= 1, `${seconds} s`);

  const read = await asker.post(`${path}/${id}/append`, { ids: [1, 2, 3] });
  assertEquals([read.status, read.body.id, read.body.length], [200, id, 3]);
  assertEquals(read.body.bytes, { near: 6, far: 1000, full: 24 });
  assertEquals(read.body.stats.tokens, 3);

  const answer = await asker.post(`${path}/${id}/generate`, { prompt: "ab", maxTokens: 4 });
  assertEquals([answer.status, answer.body.result.text, answer.body.length], [200, "hell", 9]);
  const cut = await asker.post(`${path}/${id}/truncate`, { tokens: 2 });
  assertEquals(cut.body.length, 2);
  assertEquals((await asker.get(`${path}/${id}`)).body.length, 2);
  assertEquals((await asker.get(path)).body.data.map((each: { id: string }) => each.id), [id]);

  const gone = await asker.delete(`${path}/${id}`);
  assertEquals([gone.status, gone.body], [200, { id, deleted: true }]);
  assertEquals([asker.engine.open.size, (await asker.get(path)).body.data], [0, []]);
  assertRefused(await asker.get(`${path}/${id}`), 404, "session_not_found");
});

test("a session's generation streams, and its last event has the length", async () => {
  const asker = asking({}, { text: "ab" });
  const { id } = (await asker.post(path)).body;
  const { status, body } = await asker.post(`${path}/${id}/generate`, { ids: [7], stream: true });
  assertEquals(status, 200);
  const events = body.split("\n\n").filter((each: string) => each !== "");
  assertEquals(events.length, 5);
  const last = JSON.parse(events.at(-1).replace("data: ", ""));
  assertEquals([last.length, last.result.text], [3, "ab"]);
  asker.close();
});

test("a fork is a session of its own with the same tokens", async () => {
  const asker = asking();
  const { id } = (await asker.post(path)).body;
  await asker.post(`${path}/${id}/append`, { prompt: "four" });
  const fork = await asker.post(`${path}/${id}/fork`);
  assertEquals([fork.status, fork.body.length, fork.body.id === id], [201, 4, false]);
  await asker.post(`${path}/${fork.body.id}/append`, { prompt: "more" });
  await asker.delete(`${path}/${id}`);
  assertEquals((await asker.get(`${path}/${fork.body.id}`)).body.length, 8);
  asker.close();
});

test("a session is its tenant's: others hear what they would of one that never was", async () => {
  const asker = asking({ keys: ["one", "two"] });
  const [one, two] = [asker.as("one"), asker.as("two")];
  const { id } = (await one.post(path)).body;
  const other = crypto.randomUUID();
  for (const name of ["append", "generate", "fork", "truncate"]) {
    const body = name === "truncate" ? { tokens: 0 } : {};
    const theirs = await two.post(`${path}/${id}/${name}`, body);
    const nobodys = await one.post(`${path}/${other}/${name}`, body);
    assertRefused(theirs, 404, "session_not_found");
    assertEquals(theirs.body.error.message, nobodys.body.error.message.replace(other, id));
  }
  assertRefused(await two.get(`${path}/${id}`), 404, "session_not_found");
  assertRefused(await two.delete(`${path}/${id}`), 404, "session_not_found");
  assertEquals((await two.get(path)).body.data, []);
  assertEquals((await one.get(path)).body.data.length, 1);
  asker.close();
});

test("one request at a time works with a session: a second one is refused", async () => {
  let let_go = () => {};
  const held = new Promise<void>((answer) => let_go = answer);
  const asker = asking({}, { token: (at) => at === 1 ? held : undefined });
  const { id } = (await asker.post(path)).body;
  const first = asker.post(`${path}/${id}/generate`, { prompt: "a", maxTokens: 3 });
  while (asker.engine.running === 0) await moment();
  for (const name of ["append", "generate", "fork"]) {
    const answer = await asker.post(`${path}/${id}/${name}`, {});
    assertRefused(answer, 409, "busy", /is at work for another request$/);
    assertEquals(answer.headers.get("Retry-After"), "1");
  }
  const told = await asker.get(`${path}/${id}`);
  assertEquals([told.body.busy, told.body.bytes.near], [true, 0]);
  let_go();
  assertEquals((await first).body.result.text, "hel");
  assertEquals((await asker.get(`${path}/${id}`)).body.busy, false);
  asker.close();
});

test("a session that is deleted ends what runs in it", async () => {
  const asker = asking({}, { token: (at) => at === 1 ? never : undefined });
  const { id } = (await asker.post(path)).body;
  const run = asker.post(`${path}/${id}/generate`, { prompt: "a" });
  while (asker.engine.running === 0) await moment();
  assertEquals((await asker.delete(`${path}/${id}`)).status, 200);
  assertEquals((await run).body.result.stop, "cancelled");
  assertEquals([asker.engine.open.size, asker.engine.running], [0, 0]);
});

test("a client that leaves gives its session free for the next request", async () => {
  const asker = asking({}, { token: (at) => at === 1 ? never : undefined });
  const { id } = (await asker.post(path)).body;
  for (const stream of [false, true]) {
    const left = new AbortController();
    const body = { prompt: "a", stream };
    const run = asker.post(`${path}/${id}/generate`, body, left.signal).catch(() => {});
    while (asker.engine.running === 0) await moment();
    left.abort();
    await run;
    while (asker.engine.running > 0) await moment();
  }
  assertEquals((await asker.post(`${path}/${id}/append`, { ids: [1] })).status, 200);
  asker.close();
});

test("what a session refuses leaves it free", async () => {
  const asker = asking();
  const { id } = (await asker.post(path)).body;
  assertRefused(
    await asker.post(`${path}/${id}/truncate`, { tokens: 1 }),
    400,
    "argument",
    /tokens 1 is above the 0 that are held$/,
  );
  const long = await asker.post(`${path}/${id}/generate`, { prompt: "a", maxTokens: 5000 });
  assertRefused(long, 400, "context_length_exceeded");
  assertEquals((await asker.get(`${path}/${id}`)).body.busy, false);
  asker.close();
});

test("sessions are one less than the engine's places, or as many as the app is told", async () => {
  for (const [options, places, most] of [[{}, 4, 3], [{}, 1, 1], [{ sessionsMax: 2 }, 9, 2]]) {
    const asker = asking(options as object, { sessionsMax: places as number });
    const asked = Array.from({ length: 6 }, () => asker.post(path)); // at once
    const statuses = (await Promise.all(asked)).map(({ status }) => status);
    assertEquals(statuses.filter((status) => status === 201).length, most);
    const sentence = new RegExp(`${most} are open, and the server has ${most}$`);
    assertRefused(await asker.post(path), 503, "capacity", sentence);
    asker.close();
  }
});

test("where the engine has no place for a session it is refused for now", async () => {
  const asker = asking({ sessionsMax: 9 }, { sessionsMax: 2 });
  const { id } = (await asker.post(path)).body;
  await asker.post(path);
  for (const answer of [await asker.post(path), await asker.post(`${path}/${id}/fork`)]) {
    assertRefused(answer, 503, "capacity", /2 are open, and sequences is 2$/);
    assertEquals(answer.headers.get("Retry-After"), "1");
  }
  await asker.delete(`${path}/${id}`);
  assertEquals((await asker.post(path)).status, 201);
  asker.close();
});

test("a session that nobody uses is closed, one at work is not", async () => {
  const asker = asking({ idleSeconds: 0.05 }, { token: (at) => at === 1 ? never : undefined });
  const { id } = (await asker.post(path)).body;
  const busy = (await asker.post(path)).body.id;
  const run = asker.post(`${path}/${busy}/generate`, { prompt: "a" });
  while (asker.engine.open.size > 1) await moment();
  assertRefused(await asker.get(`${path}/${id}`), 404, "session_not_found");
  assertEquals((await asker.get(`${path}/${busy}`)).body.busy, true);
  await asker.delete(`${path}/${busy}`);
  await run;
});

test("a server that closes finishes what runs in sessions, and closes them", async () => {
  let let_go = () => {};
  const held = new Promise<void>((answer) => let_go = answer);
  const asker = asking({}, { token: (at) => at === 1 ? held : undefined });
  const { id } = (await asker.post(path)).body;
  await asker.post(path);
  const run = asker.post(`${path}/${id}/generate`, { prompt: "a", maxTokens: 2 });
  while (asker.engine.running === 0) await moment();
  asker.close();
  await moment();
  assertEquals(asker.engine.open.size, 1);
  assertRefused(await asker.post(path), 503, "closed", /the server is closing$/);
  let_go();
  assertEquals((await run).body.result.text, "he");
  while (asker.engine.open.size > 0) await moment();
});

test("a client that left while its session was opened leaves none behind", async () => {
  const asker = asking();
  const left = new AbortController();
  left.abort();
  await asker.app.fetch(post(path, {}, { signal: left.signal }));
  assertEquals(asker.engine.open.size, 0);
});

test("what fails while an idle session is closed is reported", async () => {
  const asker = asking();
  await asker.post(path);
  const [session] = asker.engine.open;
  const failure = new SpecacheError("internal", "Cannot close");
  session.close = () => Promise.reject(failure);
  asker.close();
  await moment();
  assertEquals(asker.reported, [failure]);
});

test("an id that is none is told in one line, and cut", async () => {
  const answer = await asking().get(`${path}/a%0Ab%00${"c".repeat(200)}`);
  assertRefused(answer, 404, "session_not_found", /session a\?b\?c{56} is not known$/);
});

const refusals: readonly [path: string, body: unknown, sentence: RegExp][] = [
  ["", { name: "a" }, /option name is not known$/],
  ["/append", { maxTokens: 1 }, /option maxTokens is not known$/],
  ["/append", { prompt: 1 }, /prompt 1 is not a string$/],
  ["/append", { signal: 1 }, /signal is no option of a request$/],
  ["/generate", { temperature: -1 }, /temperature -1 is below 0$/],
  ["/fork", { tokens: 1 }, /option tokens is not known$/],
  ["/truncate", {}, /tokens is missing$/],
  ["/truncate", { tokens: 2 ** 24 + 1 }, /tokens 16777217 is above 16777216$/],
];

for (const [name, body, sentence] of refusals) {
  test(`POST of sessions${name} refuses ${JSON.stringify(body)}`, async () => {
    const asker = asking();
    const { id } = (await asker.post(path)).body;
    const answer = await asker.post(name === "" ? path : `${path}/${id}${name}`, body);
    assertRefused(answer, 400, "argument", sentence);
    assert(!(await asker.get(`${path}/${id}`)).body.busy);
    asker.close();
  });
}

test("sessions refuse other methods by those that they take", async () => {
  const asker = asking();
  const { id } = (await asker.post(path)).body;
  const wrong = [
    [await asker.delete(path), "GET, HEAD, POST"],
    [await asker.post(`${path}/${id}`), "GET, HEAD, DELETE"],
    [await asker.get(`${path}/${id}/generate`), "POST"],
  ] as const;
  for (const [answer, allow] of wrong) {
    assertRefused(answer, 405, "method_not_allowed");
    assertEquals(answer.headers.get("Allow"), allow);
  }
  assertRefused(await asker.post(`${path}/${id}/forks`), 404, "not_found");
  asker.close();
});
