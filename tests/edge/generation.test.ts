// What a RemoteEngine makes of what hosts say, over real sockets; the hosts are scripted.
import type { RequestError } from "../../routes/errors.ts";
import { AHEAD } from "../../edge/generation.ts";
import type { Piece } from "../../mod.ts";
import { assertEquals, assertLess, assertMatch, assertRejects, test } from "../harness.ts";
import { until } from "../cli/server.ts";
import { events, type Heard, NOWHERE, over, refusal, RESULT, Scripted } from "./scripted.ts";

const pieces = [{ id: 104, text: "h" }, { id: 105, text: "i" }];
const told = pieces.map((piece) => ({ piece }));
const prompt = "x".repeat(500);

async function read(run: AsyncIterable<Piece>): Promise<Piece[]> {
  const all = [];
  for await (const piece of run) all.push(piece);
  return all;
}

async function refused(body: () => Promise<unknown>): Promise<RequestError> {
  return await assertRejects(body, Error) as RequestError;
}

test("a generation is asked of a host with its key; its pieces and result come back", async () => {
  await using host = await Scripted.start(() => events([...told, { result: RESULT }]));
  const engine = await over([host]);
  const progress = () => {};
  const options = { prompt, maxTokens: 2, stop: ["a"], late: { above: 0.5 }, progress } as const;
  const run = engine.generate({ ...options, salt: "anna bert", client: "c" });
  assertEquals(await run.started, true);
  assertEquals(await read(run), pieces);
  assertEquals(await run.result as unknown, RESULT);
  const [{ method, path, headers, body }] = host.heard;
  assertEquals([method, path], ["POST", "/v1/generate"]);
  assertEquals(headers.get("Authorization"), "Bearer host-key");
  assertEquals(headers.get("Specache-Tenant"), "anna%20bert");
  const { progress: _, ...sent } = options;
  assertEquals(JSON.parse(body), { ...sent, stream: true });
});

test("a result is there for who never iterates", async () => {
  await using host = await Scripted.start(() => events([...told, { result: RESULT }]));
  const run = (await over([host])).generate({ prompt });
  assertEquals(await run.result as unknown, RESULT);
  assertEquals(await read(run), pieces);
});

test("progress is told, and texts of tokens that logprobs name are known then", async () => {
  const logprobs = [[104, -1], [7, -2]];
  const piece = { id: 104, text: "h", logprob: -1, logprobs };
  const texts = { 104: "h", 7: "seven" };
  const prefilled = { tokens: 3, promptTokens: 5 };
  await using host = await Scripted.start(() =>
    events([{ started: true }, { prefilled }, { piece, texts }, { result: RESULT }])
  );
  const engine = await over([host]);
  const progress: number[][] = [];
  assertEquals(engine.tokenText(7), "");
  const run = engine.generate({ prompt, progress: (...both) => progress.push(both) });
  assertEquals(await read(run) as unknown, [piece]);
  assertEquals([progress, engine.tokenText(7), engine.tokenText(104)], [[[3, 5]], "seven", "h"]);
});

test("what the caller's progress throws is the result's error, and no host's fault", async () => {
  const prefilled = { tokens: 1, promptTokens: 2 };
  await using host = await Scripted.start(() => events([{ prefilled }, { result: RESULT }]));
  const engine = await over([host]);
  const progress = () => {
    throw new Error("mine");
  };
  const error = await refused(() => engine.generate({ prompt, progress }).result);
  assertEquals([error.message, host.heard.length], ["mine", 1]);
  assertEquals(await engine.generate({ prompt }).result as unknown, RESULT);
});

test("an event is read whole, however its bytes come", async () => {
  const text =
    `data: ${JSON.stringify({ piece: { id: 1, text: "é€😀" } })}\r\n\r\n: still here\n\n` +
    `data: ${JSON.stringify({ result: RESULT })}\n\n`;
  const bytes = new TextEncoder().encode(text);
  await using host = await Scripted.start(() => {
    let at = 0;
    const body = new ReadableStream({
      pull(controller) {
        if (at < bytes.length) controller.enqueue(bytes.subarray(at, ++at));
        else controller.close();
      },
    });
    return new Response(body);
  });
  const run = (await over([host])).generate({ prompt });
  assertEquals((await read(run)).map(({ text }) => text), ["é€😀"]);
});

const elsewhere: readonly [string, () => Response][] = [
  ["is closing", () => refusal(503, "closed", { "Retry-After": "7" })],
  ["is full", () => refusal(429, "busy", { "Retry-After": "7" })],
  ["does not know the key", () => refusal(401, "invalid_api_key")],
  ["is a proxy that has lost its server", () => new Response("<html>", { status: 502 })],
  ["is another program", () => new Response("not found", { status: 404 })],
  ["sends elsewhere", () => new Response(null, { status: 302, headers: { Location: "/v2" } })],
  ["ends before the first piece", () => events([{ started: true }])],
  ["says what is no event", () => new Response("data: {\n\n")],
];

// Half of all prompts belong to the host: one of 40 comes to it but once in 10^12.
async function untilHeard(host: Scripted, ask: (prompt: string) => Promise<void>): Promise<void> {
  for (let at = 0; host.heard.length === 0; at++) {
    assertLess(at, 40);
    await ask(`${at} ${prompt}`);
  }
}

for (const [what, answer] of elsewhere) {
  test(`a host that ${what} is replaced by another`, async () => {
    await using first = await Scripted.start(answer);
    await using second = await Scripted.start(() => events([...told, { result: RESULT }]));
    await untilHeard(first, async (prompt) => {
      const engine = await over([first, second]);
      assertEquals(await read(engine.generate({ prompt })), pieces);
    });
  });
}

test("a host where nobody listens is replaced by another", async () => {
  await using host = await Scripted.start(() => events([...told, { result: RESULT }]));
  const engine = await over([NOWHERE, host]);
  for (const prefix of ["a", "b", "c", "d"]) {
    assertEquals(await read(engine.generate({ prompt: prefix + prompt })), pieces);
  }
});

test("a refusal of all hosts is told as the first told it", async () => {
  await using host = await Scripted.start(() => refusal(429, "busy", { "Retry-After": "7" }));
  const error = await refused(() => overBoth(host));
  assertEquals([error.status, error.code, error.message], [429, "busy", "Cannot answer: busy"]);
  assertEquals(error.headers, { "Retry-After": "7" });
});

test("of hosts that are full three are asked, and no more", async () => {
  const hosts = await Promise.all(
    Array.from({ length: 5 }, () => Scripted.start(() => refusal(429, "busy"))),
  );
  const error = await refused(async () => await (await over(hosts)).generate({ prompt }).started);
  assertEquals([error.status, hosts.reduce((sum, { heard }) => sum + heard.length, 0)], [429, 3]);
  for (const host of hosts) await host[Symbol.asyncDispose]();
});

async function overBoth(host: Scripted): Promise<unknown> {
  const engine = await over([NOWHERE, host]);
  return await engine.generate({ prompt }).started;
}

test("where no host can be reached the answer is 503, without an address in it", async () => {
  const reports: unknown[] = [];
  const engine = await over([NOWHERE, NOWHERE], { report: (error) => reports.push(error) });
  const run = engine.generate({ prompt });
  const error = await refused(() => run.result);
  assertEquals([error.status, error.code], [503, "no_host"]);
  assertEquals(error.message, "Cannot answer: none of 2 hosts can be reached");
  await until(() => reports.length >= 4); // two of the request, two of probes
  assertMatch(String(reports[0]), /^HostError: Cannot use host [01]: /);
});

test("what a host refuses is refused, and no other host is asked", async () => {
  const answer = () => refusal(400, "context_length_exceeded");
  await using hosts = await two(answer);
  const error = await refused(() => hosts.run({ prompt }).started);
  const { status, code, message } = error;
  assertEquals([status, code], [400, "context_length_exceeded"]);
  assertEquals(message, "Cannot answer: context_length_exceeded");
  assertEquals(hosts.heard().length, 1);
});

test("a host that fails after the first piece is not replaced: that was passed on", async () => {
  await using hosts = await two(() => events(told));
  const run = hosts.run({ prompt });
  const seen: Piece[] = [];
  const error = await refused(async () => {
    for await (const piece of run) seen.push(piece);
  });
  assertEquals([error.status, error.code, seen], [502, "host_gone", pieces]);
  assertEquals(hosts.heard().length, 1);
});

test("an error that a host tells in its stream comes through with its code", async () => {
  const error = { message: "Cannot answer: no", type: "server_error", param: null, code: "closed" };
  await using hosts = await two(() => events([...told, { error }]));
  const found = await refused(() => hosts.run({ prompt }).result);
  assertEquals([found.status, found.code, found.message], [503, "closed", "Cannot answer: no"]);
  assertEquals(hosts.heard().length, 1);
});

test("who leaves ends the host's work: by a signal, or by leaving the iteration", async () => {
  for (const how of ["signal", "break"]) {
    await using host = await Scripted.start(() => events([{ started: true }, ...told], false));
    const client = new AbortController();
    const run = (await over([host])).generate({ prompt, signal: client.signal });
    assertEquals(await run.started, true);
    if (how === "signal") client.abort();
    else for await (const _ of run) break;
    const error = await refused(() => run.result);
    assertEquals([error.code, error.message], [
      "cancelled",
      "Cannot answer: the client has left",
    ]);
    await until(() => host.heard[0].signal.aborted);
  }
});

test("who leaves before a host answers was never started, and no other host is asked", async () => {
  let heard: Heard | null = null;
  const never = new Promise<Response>(() => {});
  await using hosts = await two((request) => {
    heard = request;
    return never;
  });
  const client = new AbortController();
  const run = hosts.run({ prompt, signal: client.signal });
  await until(() => heard !== null);
  client.abort();
  assertEquals(await run.started, false);
  await until(() => heard!.signal.aborted);
  assertEquals(hosts.heard().length, 1);
  const before = hosts.run({ prompt, signal: client.signal });
  assertEquals([await before.started, hosts.heard().length], [false, 1]);
  await refused(() => before.result);
});

test("a host is read no faster than its pieces are taken", async () => {
  let sent = 0;
  const text = "x".repeat(1 << 16);
  const body = () =>
    new ReadableStream({
      pull(controller) {
        const piece = { id: sent++, text };
        controller.enqueue(new TextEncoder().encode(`data: ${JSON.stringify({ piece })}\n\n`));
      },
    }, { highWaterMark: 0 });
  await using host = await Scripted.start(() => new Response(body()));
  const run = (await over([host])).generate({ prompt });
  let seen = 0;
  for await (const piece of run) {
    assertEquals(piece.id, seen++);
    if (seen < 10) continue;
    await settled(() => sent);
    // What is read ahead, and 32 MiB that sockets and runtimes of either side may hold.
    assertLess(sent, seen + AHEAD + 512);
    break;
  }
});

async function settled(value: () => number): Promise<void> {
  for (let before = -1; before !== value();) {
    before = value();
    await new Promise((answer) => setTimeout(answer, 100));
  }
}

test("a host that is silent but there is waited for", async () => {
  let end = () => {};
  await using host = await Scripted.start(async () => {
    await new Promise<void>((answer) => end = answer);
    return events([...told, { result: RESULT }]);
  });
  const run = (await over([host], { silenceMs: 10, ageMs: 1e6 })).generate({ prompt });
  await until(() => host.probes >= 4);
  end();
  assertEquals(await read(run), pieces);
});

test("a host that is silent and gone is replaced while nothing was passed on", async () => {
  const silent = () => events([{ started: true }], false);
  await using first = await Scripted.start(silent);
  await using second = await Scripted.start(() => events([...told, { result: RESULT }]));
  await untilHeard(first, async (prompt) => {
    first.answersProbes = true;
    const engine = await over([first, second], { silenceMs: 20, probeMs: 50 });
    const run = engine.generate({ prompt });
    await run.started;
    first.answersProbes = false; // a probe then is a generation to it: silent
    assertEquals(await read(run), pieces);
  });
});

test("a host that falls silent after the first piece and is gone is told as that", async () => {
  await using host = await Scripted.start(({ path }) =>
    path === "/v1/stats" ? refusal(503, "busy") : events(told, false)
  );
  const run = (await over([host], { silenceMs: 20, probeMs: 50 })).generate({ prompt });
  await run.started;
  host.answersProbes = false;
  const seen: Piece[] = [];
  const error = await refused(async () => {
    for await (const piece of run) seen.push(piece);
  });
  assertEquals([error.status, error.code, seen], [502, "host_gone", pieces]);
});

interface Two extends AsyncDisposable {
  run: Awaited<ReturnType<typeof over>>["generate"];
  heard(): Heard[];
}

// An engine over two hosts that say the same.
async function two(answer: (heard: Heard) => Response | Promise<Response>): Promise<Two> {
  const hosts = [await Scripted.start(answer), await Scripted.start(answer)];
  const engine = await over(hosts);
  return {
    run: (options) => engine.generate(options),
    heard: () => hosts.flatMap(({ heard }) => heard),
    async [Symbol.asyncDispose]() {
      for (const host of hosts) await host[Symbol.asyncDispose]();
    },
  };
}
