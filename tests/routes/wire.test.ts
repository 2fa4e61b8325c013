// What a server does with clients that are slow, broken or gone, over a real socket.
import { createApp } from "../../routes/app.ts";
import { assert, assertEquals, assertMatch, test } from "../harness.ts";
import { FakeEngine } from "./fake.ts";
import { onPort, rawPost, rawRequest, Wire } from "./socket.ts";

const pause = (milliseconds: number) =>
  new Promise<void>((answer) => setTimeout(answer, milliseconds));

async function healthOf(port: number): Promise<number> {
  const wire = await Wire.open(port);
  wire.socket.write(rawRequest("GET /health", { Connection: "close" }));
  const { status } = (await wire.answer())!;
  wire.socket.destroy();
  return status;
}

test("a connection cut at any byte of a request is no more than a connection less", async () => {
  const engine = new FakeEngine({ sequences: 64 });
  await onPort(createApp(engine), async (port) => {
    for (const stream of [false, true]) {
      const request = rawPost("/v1/generate", JSON.stringify({ prompt: "héllo", stream }));
      await Promise.all(Array.from({ length: request.length }, async (_, bytes) => {
        const wire = await Wire.open(port);
        wire.socket.write(request.subarray(0, bytes));
        if (bytes % 2 === 0) wire.socket.destroy();
        else wire.socket.end();
        await Promise.race([wire.closed, pause(100)]);
        const { text } = wire;
        wire.socket.destroy();
        if (text !== "") assertMatch(text, /^HTTP\/1\.1 4\d\d /);
      }));
    }
    assertEquals(await healthOf(port), 200);
    assertEquals([engine.asked.length, engine.running], [0, 0]);
  });
});

test("a connection cut at any byte of an answer ends what was begun for it", async () => {
  const engine = new FakeEngine({ sequences: 64 });
  await onPort(createApp(engine), async (port) => {
    const request = rawPost("/v1/generate", JSON.stringify({ prompt: "a", stream: true }));
    const whole = await Wire.open(port);
    whole.socket.write(request);
    await whole.answer();
    const length = whole.text.length;
    whole.socket.destroy();
    assert(length > 500, `${length} bytes`);
    for (let bytes = 0; bytes <= length; bytes += 41) {
      const wire = await Wire.open(port);
      wire.socket.write(request);
      while (wire.text.length < bytes) await pause(1);
      wire.socket.destroy();
    }
    while (engine.running > 0) await pause(1);
    assertEquals(await healthOf(port), 200);
  });
});

test("a body that comes too slowly is 408 with the seconds and the bytes", async () => {
  const engine = new FakeEngine();
  await onPort(createApp(engine, { bodySeconds: 0.3 }), async (port) => {
    const request = rawPost("/v1/generate", JSON.stringify({ prompt: "a".repeat(500) }));
    const wire = await Wire.open(port);
    const head = request.length - 512;
    wire.socket.write(request.subarray(0, head));
    let sent = head;
    const trickle = setInterval(() => {
      if (!wire.socket.destroyed) wire.socket.write(request.subarray(sent, ++sent));
    }, 20);
    const answer = await wire.answer();
    clearInterval(trickle);
    const { error } = JSON.parse(new TextDecoder().decode(answer!.body));
    assertEquals([answer!.status, error.code], [408, "body_too_slow"]);
    assertMatch(error.message, /after 0\.3 s only \d+ bytes of it are there$/);
    assertEquals(answer!.headers.connection, "close");
    wire.socket.destroy();
    assertEquals([await healthOf(port), engine.asked.length], [200, 0]);
  });
});

test("a body without an end is refused once it is above the limit", async () => {
  const engine = new FakeEngine();
  await onPort(createApp(engine, { bodyBytesMax: 100_000 }), async (port) => {
    const wire = await Wire.open(port);
    const headers = { "Content-Type": "application/json", "Transfer-Encoding": "chunked" };
    wire.socket.write(rawRequest("POST /v1/generate", headers));
    const chunk = `2000\r\n${" ".repeat(0x2000)}\r\n`;
    let sent = 0;
    while (wire.text === "" && !wire.socket.destroyed && sent < 64 << 20) {
      wire.socket.write(chunk);
      sent += 0x2000;
      await pause(0);
    }
    const answer = await wire.answer();
    const { error } = JSON.parse(new TextDecoder().decode(answer!.body));
    assertEquals([answer!.status, error.code], [413, "body_too_large"]);
    assert(sent < 16 << 20, `${sent} bytes`);
    wire.socket.destroy();
    assertEquals([await healthOf(port), engine.asked.length], [200, 0]);
  });
});

test("two requests in one packet are answered one after the other", async () => {
  await onPort(createApp(new FakeEngine()), async (port) => {
    const wire = await Wire.open(port);
    const [one, two] = ["one", "three"].map((prompt) =>
      rawPost("/v1/generate", JSON.stringify({ prompt }))
    );
    wire.socket.write(new Uint8Array([...one, ...two]));
    const lengths = () =>
      [...wire.text.matchAll(/"promptTokens":(\d+)/g)].map(([, count]) => count);
    while (lengths().length < 2) await pause(1);
    assertEquals(lengths(), ["3", "5"]);
    wire.socket.destroy();
  });
});

test("clients that trickle their heads and bodies hold nobody up", async () => {
  await onPort(createApp(new FakeEngine()), async (port) => {
    const request = rawPost("/v1/generate", JSON.stringify({ prompt: "a" }));
    const slow = await Promise.all(Array.from({ length: 40 }, () => Wire.open(port)));
    let sent = 0;
    const trickle = setInterval(() => {
      for (const { socket } of slow) socket.write(request.subarray(sent, sent + 1));
      sent++;
    }, 2);
    const began = performance.now();
    for (let at = 0; at < 20; at++) assertEquals(await healthOf(port), 200);
    const milliseconds = performance.now() - began;
    const answers = await Promise.all(slow.map((wire) => wire.answer()));
    clearInterval(trickle);
    assertEquals(answers.map((answer) => answer!.status), slow.map(() => 200));
    for (const { socket } of slow) socket.destroy();
    assert(milliseconds < 5000, `${milliseconds} ms`);
  });
});

test("a server that closes does not wait for a head that never ends", async () => {
  await onPort(createApp(new FakeEngine()), async (port, server) => {
    const wire = await Wire.open(port);
    wire.socket.write("POST /v1/generate HTTP/1.1\r\nHost: ");
    await pause(50);
    const began = performance.now();
    await Promise.race([server.close(), pause(20_000)]);
    assert(performance.now() - began < 10_000, `${performance.now() - began} ms`);
    wire.socket.destroy();
  });
});

test("a server that closes lets a stream come to its end", async () => {
  const engine = new FakeEngine({ token: () => pause(150) });
  await onPort(createApp(engine), async (port, server) => {
    const wire = await Wire.open(port);
    wire.socket.write(rawPost("/v1/generate", JSON.stringify({ prompt: "a", stream: true })));
    while (!wire.text.includes('"piece"')) await pause(1);
    const [answer] = await Promise.all([wire.answer(), server.close()]);
    const text = new TextDecoder().decode(answer!.body);
    assertEquals([answer!.status, text.includes('{"result":')], [200, true]);
  });
});

const broken: readonly [name: string, bytes: Uint8Array | string][] = [
  ["no HTTP", "hello\r\n\r\n"],
  ["TLS", new Uint8Array([22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3, 0, 1, 2, 3, 13, 10, 13, 10])],
  ["a method with a control character", "P\x01ST / HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["two lengths", rawRequest("POST /v1/generate", { "Content-Length": "1, 2" }, "{}")],
  ["a length below 0", rawRequest("POST /v1/generate", { "Content-Length": "-1" }, "{}")],
  ["a length that is none", rawRequest("POST /v1/generate", { "Content-Length": "x" }, "{}")],
  [
    "a chunk that is none",
    rawRequest(
      "POST /v1/generate",
      { "Transfer-Encoding": "chunked", "Content-Type": "application/json" },
      "zz\r\n{}\r\n0\r\n\r\n",
    ),
  ],
  ["a head of 1 MiB", rawRequest("GET /health", { X: "a".repeat(1 << 20) })],
  ["a path of 1 MiB", rawRequest(`GET /${"a".repeat(1 << 20)}`, {})],
];

for (const [name, bytes] of broken) {
  test(`a request that is ${name} is refused or cut, and the next one is answered`, async () => {
    const engine = new FakeEngine();
    await onPort(createApp(engine), async (port) => {
      const wire = await Wire.open(port);
      wire.socket.write(bytes);
      await Promise.race([wire.answer().catch(() => {}), pause(300)]);
      if (wire.text !== "") assertMatch(wire.text, /^HTTP\/1\.1 (4\d\d|505) /);
      wire.socket.destroy();
      assertEquals([await healthOf(port), engine.asked.length], [200, 0]);
    });
  });
}
