// What a socket sees of a server, and a server of its clients; the engine is a fake.
import { connect, type Socket } from "node:net";
import { listen, type Listening } from "../../cli/listen.ts";
import { SpecacheError } from "../../mod.ts";
import { createApp } from "../../routes/app.ts";
import { assert, assertEquals, assertMatch, assertRejects, runtime, test } from "../harness.ts";
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

// Bun does not tell which client reads nothing.
if (runtime === "deno") {
  test("close() does not wait for ever for a client that reads nothing", async () => {
    const body = new Uint8Array(64 << 20); // more than sockets hold
    const server = await listen(() => new Response(body), place, 200);
    const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
    socket.on("error", () => {}); // it is cut off
    socket.pause();
    socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await new Promise((answer) => setTimeout(answer, 100));
    const began = performance.now();
    await server.close();
    assert(performance.now() - began < 20_000);
    socket.destroy();
  });
}
