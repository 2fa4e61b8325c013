// What a socket sees of a server, and a server of its clients; the engine is a fake.
import { connect, type Socket } from "node:net";
import { listen, type Listening } from "../../cli/listen.ts";
import { SpecacheError } from "../../mod.ts";
import { createApp } from "../../routes/app.ts";
import { assert, assertEquals, assertMatch, assertRejects, test } from "../harness.ts";
import { chatBody, FakeEngine, type FakeOptions } from "../routes/fake.ts";
import { until } from "./server.ts";

const place = { hostname: "127.0.0.1", port: 0 };

async function listening(
  options: FakeOptions,
  body: (engine: FakeEngine, server: Listening) => Promise<void>,
): Promise<void> {
  const engine = new FakeEngine(options);
  const server = await listen(createApp(engine).fetch, place);
  try {
    await body(engine, server);
  } finally {
    await server.close();
  }
}

async function opened(url: string): Promise<Socket> {
  const socket = connect({ port: Number(new URL(url).port), host: "127.0.0.1", noDelay: true });
  socket.on("error", () => {}); // the server may close what was cut
  await new Promise<void>((answer) => void socket.once("connect", answer));
  return socket;
}

function requestOf(fields: object): { head: string; body: string } {
  const body = JSON.stringify(chatBody(fields));
  const head = [
    ...["POST /v1/chat/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json"],
    `Content-Length: ${body.length}`,
  ].join("\r\n") + "\r\n\r\n";
  return { head, body };
}

const pause = () => new Promise((answer) => setTimeout(answer, 20));
const never = new Promise<void>(() => {});

for (const stream of [false, true]) {
  for (const packets of [1, 2]) {
    const name = `a client of a ${stream ? "stream" : "whole answer"} that leaves ends its ` +
      `generation, its request sent in ${packets}`;
    test(
      name,
      () =>
        listening({ token: (at) => at === 1 ? never : undefined }, async (engine, { url }) => {
          const socket = await opened(url);
          const { head, body } = requestOf({ stream });
          if (packets === 1) socket.write(head + body);
          else {
            socket.write(head);
            await pause();
            socket.write(body);
          }
          await until(() => engine.running === 1);
          await pause();
          socket.destroy();
          await until(() => engine.running === 0);
        }),
    );
  }
}

test("clients that leave together while one runs and others wait leave nothing behind", () =>
  listening({ token: () => never }, async (engine, { url }) => {
    const sockets = await Promise.all(Array.from({ length: 5 }, () => opened(url)));
    for (const socket of sockets) {
      const { head, body } = requestOf({});
      socket.write(head);
      await pause();
      socket.write(body);
    }
    await until(() => engine.running === 1);
    await pause();
    for (const socket of sockets) socket.destroy();
    await until(() => engine.running === 0);
    await pause();
    await until(() => engine.running === 0); // one whose turn came first was cancelled then
    assertEquals((await fetch(`${url}/health`).then((answer) => answer.json())).status, "ok");
  }));

test("a request that is cut anywhere leaves a server that answers", () =>
  listening({}, async (_, { url }) => {
    const { head, body } = requestOf({});
    const whole = head + body;
    for (let at = 1; at < whole.length; at += 17) {
      const socket = await opened(url);
      socket.write(whole.slice(0, at));
      socket.destroy();
    }
    assertEquals((await fetch(`${url}/health`)).status, 200);
  }));

test("a body above the limit is refused over a socket too", () =>
  listening({}, async (_, { url }) => {
    const { status } = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: "x".repeat(20 << 20),
    });
    assertEquals(status, 413);
  }));

test("listen() refuses a port that is taken, and a host that is not this machine's", () =>
  listening({}, async (_, { url }) => {
    const port = Number(new URL(url).port);
    const wrong = [{ ...place, port }, { hostname: "192.0.2.1", port: 0 }];
    for (const place of wrong) {
      const error = await assertRejects(
        () => listen(() => new Response(), place),
        SpecacheError,
      );
      assertEquals(error.code, "argument");
      assertMatch(
        error.message,
        /^Cannot serve: .*--host [\d.]+ is (taken; |no address of this machine$)/,
      );
    }
  }));

test("Listening.close() waits for what runs, and not for connections that are kept", async () => {
  const slow = () => new Promise<void>((answer) => setTimeout(answer, 30));
  const server = await listen(createApp(new FakeEngine({ token: slow })).fetch, place);
  const { head, body } = requestOf({});
  const socket = await opened(server.url);
  let text = "";
  socket.on("data", (data) => text += data);
  socket.write(head + body);
  await pause();
  const started = performance.now();
  await server.close();
  const closedMs = performance.now() - started;
  await until(() => text.includes('"content":"hello"'));
  assert(closedMs < 3000, `${closedMs} ms`);
  await assertRejects(() => fetch(`${server.url}/health`));
});

const MIB = 1 << 20;
const large = () => new Response(new Uint8Array(64 * MIB)); // more than sockets hold

// Events of a MiB, and how many were made.
function events(count: number, cancelled: () => void = () => {}): Response {
  const event = new TextEncoder().encode(`data: ${"x".repeat(MIB)}\n\n`);
  const body = new ReadableStream({
    pull(controller) {
      if (count-- > 0) controller.enqueue(event);
      else controller.close();
    },
    cancel: cancelled,
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}

async function asking(url: string): Promise<Socket> {
  const socket = await opened(url);
  socket.pause();
  socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  await new Promise((answer) => setTimeout(answer, 200));
  return socket;
}

test("close() does not wait for ever for a client that reads nothing", async () => {
  let cancelled = false;
  const stream = () => events(Infinity, () => cancelled = true);
  for (const answer of [large, stream]) {
    const server = await listen(answer, place, 200);
    const socket = await asking(server.url);
    const began = performance.now();
    await server.close();
    const closedMs = performance.now() - began;
    assert(closedMs > 200 && closedMs < 20_000, `${closedMs} ms`);
    socket.destroy();
  }
  await until(() => cancelled);
});

test("close() waits for a client that reads slowly, and for an answer that is slow", async () => {
  const slow = async () => {
    await new Promise((answer) => setTimeout(answer, 1500));
    return events(24);
  };
  const server = await listen(slow, place, 1000);
  const socket = await asking(server.url);
  let bytes = 0;
  socket.on("data", (data) => {
    bytes += data.length;
    socket.pause();
    setTimeout(() => socket.resume(), data.length / MIB * 100); // 10 MiB a second
  });
  socket.resume();
  const ended = new Promise((answer) => socket.once("close", answer));
  await server.close();
  await ended;
  assert(bytes > 24 * MIB, `${bytes} bytes`);
});

test("a stream of events is passed on as it comes, with its status and headers", async () => {
  let say = (_: string) => {};
  let end = () => {};
  const body = new ReadableStream({
    start(controller) {
      say = (text) => controller.enqueue(new TextEncoder().encode(text));
      end = () => controller.close();
    },
  });
  const headers = { "Content-Type": "text/event-stream", "X-More": "1" };
  const server = await listen(() => new Response(body, { status: 201, headers }), place);
  say("data: 1\n\n");
  const response = await fetch(server.url);
  assertEquals([response.status, response.headers.get("X-More")], [201, "1"]);
  const reader = response.body!.getReader();
  for (const text of ["data: 1\n\n", "data: 2\n\n"]) {
    if (text !== "data: 1\n\n") say(text);
    assertEquals(new TextDecoder().decode((await reader.read()).value), text);
  }
  end();
  assertEquals((await reader.read()).done, true);
  await server.close();
});
