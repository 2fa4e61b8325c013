// A stream of events whose reader is slow: nothing is lost, and whoever sends waits.
import { Hono } from "hono";
import { eventStream, type Send } from "../../routes/event_stream.ts";
import { assert, assertEquals, test } from "../harness.ts";

async function streamed(write: (send: Send) => Promise<void>): Promise<Response> {
  const app = new Hono();
  const parts = { left: new AbortController(), report: () => {} };
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
