// A stream of events: whose reader is slow or leaves, and what fails behind its head.
import { Hono } from "hono";
import { SpecacheError } from "../../mod.ts";
import { eventStream, type Send } from "../../routes/event_stream.ts";
import { assert, assertEquals, test } from "../harness.ts";

async function streamed(
  write: (send: Send) => Promise<void>,
  left = new AbortController(),
  reported: unknown[] = [],
): Promise<Response> {
  const app = new Hono();
  const parts = { left, report: (error: unknown) => void reported.push(error) };
  app.get("/", (c) => eventStream(c, parts, write));
  return await app.request("/");
}

test("two who send at a time both go on when the reader does, and nothing is lost", async () => {
  const response = await streamed(async (send) => {
    const one = async (name: string) => {
      for (let at = 0; at < 50; at++) await send(`${name}${at}`);
    };
    await Promise.all([one("a"), one("b")]);
  });
  await new Promise((turn) => setTimeout(turn, 20)); // both wait for the reader
  const events = (await response.text()).trim().split("\n\n");
  for (const name of ["a", "b"]) {
    const own = events.filter((event) => event.startsWith(`data: ${name}`));
    assertEquals(own, Array.from({ length: 50 }, (_, at) => `data: ${name}${at}`));
  }
});

test("who sends waits while nobody reads", async () => {
  let sent = 0;
  const response = await streamed(async (send) => {
    for (; sent < 1000; sent++) await send("word");
  });
  await new Promise((turn) => setTimeout(turn, 20));
  assert(sent < 40, `${sent} events are ahead`);
  assertEquals((await response.text()).match(/word/g)!.length, 1000);
});

test("a reader that leaves is heard of, and keeps no sender waiting", async () => {
  const left = new AbortController();
  const sent = Promise.withResolvers<void>();
  const response = await streamed(async (send) => {
    for (let at = 0; at < 1000; at++) await send("word");
    sent.resolve();
  }, left);
  assertEquals(left.signal.aborted, false);
  await response.body!.cancel();
  assertEquals(left.signal.aborted, true);
  await sent.promise;
});

test("a failure is the last event; the server hears of its own alone", async () => {
  const ours = new Error("/home/me");
  const theirs = new SpecacheError("argument", "Cannot generate: k 9 is above 8");
  for (const [error, told, reports] of [[ours, "server_error", 1], [theirs, "k 9", 0]] as const) {
    const reported: unknown[] = [];
    const response = await streamed(
      async (send) => {
        await send("word");
        throw error;
      },
      undefined,
      reported,
    );
    const events = (await response.text()).trim().split("\n\n");
    assertEquals([events.length, events[0], reported.length], [2, "data: word", reports]);
    assert(events[1].includes(told) && !events[1].includes("/home"), events[1]);
  }
});
