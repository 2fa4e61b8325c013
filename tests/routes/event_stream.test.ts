// A stream of events with more than one sender: progress is told beside tokens, for instance.
import { Hono } from "hono";
import { eventStream, type Send } from "../../routes/event_stream.ts";
import { assert, assertEquals, test } from "../harness.ts";

const moment = () => new Promise((answer) => setTimeout(answer, 1));

async function answered(write: (send: Send) => Promise<void>): Promise<Response> {
  const app = new Hono();
  const left = new AbortController();
  const report = (error: unknown) => {
    throw error;
  };
  app.get("/", (c) => eventStream(c, { left, report }, write));
  return await app.fetch(new Request("http://localhost/"));
}

// Each sends more than what may wait for the client.
async function send(send: Send, name: string): Promise<void> {
  for (let at = 0; at < 40; at++) await send({ name, at });
}

test("two that send on one stream are both let go on by a client that reads", async () => {
  const ended: string[] = [];
  const response = await answered(async (sender) => {
    await Promise.all(["one", "two"].map(async (name) => {
      await send(sender, name);
      ended.push(name);
    }));
  });
  await moment(); // both wait now
  const events = (await response.text()).split("\n\n").filter((each) => each !== "")
    .map((each) => JSON.parse(each.replace("data: ", "")));
  assertEquals(ended.sort(), ["one", "two"]);
  for (const name of ended) {
    const told = events.filter((event) => event.name === name).map(({ at }) => at);
    assertEquals(told, Array.from({ length: 40 }, (_, at) => at));
  }
});

test("two that send on one stream both wait for a client that does not read", async () => {
  let sent = 0;
  const response = await answered(async (sender) => {
    await Promise.all([1, 2].map(async () => {
      for (let at = 0; at < 100; at++) {
        await sender("x");
        sent++;
      }
    }));
  });
  for (let at = 0; at < 5; at++) await moment();
  assert(sent < 40, `${sent} events ahead`);
  await response.body!.cancel(); // it leaves, and both are let go
  for (let at = 0; at < 2000 && sent < 200; at++) await moment();
  assertEquals(sent, 200);
});
