// Sessions and forks that want a place while requests have it: they wait in the line as requests
// do, until it is their turn, the client leaves, or nothing that runs could give them one.
import { assert, assertEquals, assertRejects, test } from "../harness.ts";
import { SpecacheError } from "../../mod.ts";
import { answer, asked, assertRefused, promptIds, textIds, withEngine } from "./support.ts";

const ids = textIds(160);
// Its tokens wait for this thread's verdicts: it runs on for as long as this thread does little.
const held = { ids: promptIds, maxTokens: 90, stop: "zzzz" };

test("a session waits for a place that a request has, and then works", () =>
  withEngine({ sequences: 1 }, async (engine) => {
    const alone = await answer(engine);
    const long = engine.generate(held);
    await long.started;
    let ended = false;
    long.result.then(() => ended = true);
    const opening = engine.session();
    assertEquals((await engine.stats()).waiting, 1);
    await using session = await opening;
    await long.result;
    assert(ended);
    const { tokens } = await session.generate({ ids: promptIds, ...asked }).result;
    assertEquals(tokens, alone.tokens);
  }));

test("a fork waits for a place, its session is busy meanwhile, and goes on as the text does", () =>
  withEngine({ sequences: 2 }, async (engine) => {
    await using session = await engine.session();
    await session.append({ ids: promptIds });
    const long = engine.generate({ ...held, ids });
    await long.started;
    const forking = session.fork();
    assertEquals((await engine.stats()).waiting, 1);
    await assertRefused(() => session.truncate(1), "busy", "the session: it is at work");
    await assertRefused(() => session.generate({ ids }).result, "busy", "the session is at work");
    await using fork = await forking;
    const [one, two] = await Promise.all(
      [session, fork].map((each) => each.generate(asked).result),
    );
    assertEquals(one.tokens, two.tokens);
  }));

test("sessions wait client by client, as requests do, and no more of them than the queue", () =>
  withEngine({ sequences: 1, queue: 2 }, async (engine) => {
    const order: string[] = [];
    const long = engine.generate({ ...held, client: "many" });
    await long.started;
    const request = engine.generate({ ids, maxTokens: 3, client: "many" });
    request.result.then(() => order.push("request"));
    const opening = engine.session({ client: "few" });
    const refused = await assertRejects(
      () => engine.session({ client: "third" }),
      SpecacheError,
      "Cannot open a session: 2 requests wait, as many as may",
    );
    assertEquals([refused.code, refused.details.queue], ["busy", 2]);
    await request.result;
    await using _session = await opening;
    order.push("session");
    assertEquals(order, ["request", "session"]);
  }));

test("who gives up while a session is opened or forked leaves none, and no wait", () =>
  withEngine({ sequences: 2 }, async (engine) => {
    await using session = await engine.session();
    await session.append({ ids });
    const long = engine.generate(held);
    await long.started;
    const client = new AbortController();
    const { signal } = client;
    const waits = [engine.session({ signal }), session.fork({ signal })];
    for (const wait of waits) wait.catch(() => {});
    assertEquals((await engine.stats()).waiting, 2);
    client.abort();
    await assertRefused(() => waits[0], "cancelled", "Cannot open a session: the signal ended it");
    await assertRefused(
      () => waits[1],
      "cancelled",
      "Cannot fork the session: the signal ended it",
    );
    await assertRefused(() => engine.session({ signal }), "cancelled", "the signal ended it");
    const stats = await engine.stats();
    assertEquals([stats.waiting, stats.sessions, stats.running], [0, 1, 1]);
    await session.truncate(1); // it is free again
    await long.result;
    await using _fork = await session.fork();
  }));

test("a place that no request has is not waited for", () =>
  withEngine({ sequences: 2 }, async (engine) => {
    await using one = await engine.session();
    await using _two = await one.fork();
    const sentence = "2 sequences are open, sequences is 2";
    await assertRefused(() => engine.session(), "capacity", sentence);
    await assertRefused(() => one.fork(), "capacity", sentence);
  }));

test("sessions that wait for what then runs in none are refused, and not kept waiting", () =>
  withEngine({ sequences: 2 }, async (engine) => {
    await using _one = await engine.session();
    const long = engine.generate(held);
    await long.started;
    const opening = [engine.session(), engine.session()];
    opening[1].catch(() => {});
    await using _two = await opening[0];
    await assertRefused(() => opening[1], "capacity", "2 sequences are open, sequences is 2");
  }));

test("an engine that closes tells the sessions that wait", async () => {
  let waits: Promise<unknown>[] = [];
  await withEngine({ sequences: 2 }, async (engine) => {
    const session = await engine.session();
    const long = engine.generate(held);
    long.result.catch(() => {});
    await long.started;
    waits = [engine.session(), session.fork()];
    for (const wait of waits) wait.catch(() => {});
    await engine.stats();
  });
  for (const wait of waits) await assertRefused(() => wait, "closed", "the engine: it is closed");
});

test("a session that is closed while its fork waits tells it", () =>
  withEngine({ sequences: 2 }, async (engine) => {
    const session = await engine.session();
    const long = engine.generate(held);
    await long.started;
    const forking = session.fork();
    await session.close();
    await assertRefused(() => forking, "closed", "Cannot use the session: it is closed");
    assertEquals((await engine.stats()).sessions, 0);
    await long.result;
  }));

test("options of a session are judged", () =>
  withEngine({ sequences: 2 }, async (engine) => {
    const wrong = { signal: 1 } as unknown as { signal: AbortSignal };
    await assertRefused(() => engine.session(wrong), "argument", "signal 1 is not an AbortSignal");
    await using session = await engine.session();
    const more = { ids: [1] } as unknown as { client: string };
    await assertRefused(() => session.fork(more), "argument", "option ids is not known");
    await using _fork = await session.fork({ client: "a" }); // and it is free
  }));
