// Hosts that take a connection and say nothing, clients that break off, hosts that refuse one
// tenant, and whether a front is ready.
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { READY_MS } from "../../edge/hosts.ts";
import type { RequestError } from "../../routes/errors.ts";
import { createApp } from "../../routes/app.ts";
import { Asker } from "../routes/ask.ts";
import {
  assertEquals,
  assertGreater,
  assertLess,
  assertLessOrEqual,
  assertRejects,
  test,
} from "../harness.ts";
import { events, NOWHERE, over, refusal, RESULT, Scripted } from "./scripted.ts";

// Takes connections, and says nothing.
class Silent implements AsyncDisposable {
  readonly sockets: Socket[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket) => {
      this.sockets.push(socket);
      socket.on("error", () => {});
      socket.resume();
    });
  }

  static async start(): Promise<Silent> {
    const server = createServer();
    const silent = new Silent(server);
    await once(server.listen(0, "127.0.0.1"), "listening");
    return silent;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((answer) => this.#server.close(answer));
  }
}

const quick = { silenceMs: 20, probeMs: 50, ageMs: 1e6 };
const session = () => Response.json({ id: "own", length: 0 }, { status: 201 });

test("a host that takes connections in silence holds up neither a session nor a plan", async () => {
  await using silent = await Silent.start();
  const alone = await over([silent], quick);
  for (const ask of [() => alone.session(), () => alone.plan(), () => alone.stats()]) {
    const { status, code } = await assertRejects(ask, Error) as RequestError;
    assertEquals([status, code], [503, "no_host"]);
  }
  await using other = await Scripted.start(session);
  for (let at = 0; at < 2; at++) {
    assertEquals((await (await over([silent, other], quick)).session()).length, 0);
    const plan = await (await over([silent, other], quick)).plan();
    assertEquals(plan as unknown, { id: "own", length: 0 });
  }
  assertGreater(silent.sockets.length, 2);
});

test("a plan is not waited for longer than probeMs, also of a host that is there", async () => {
  await using host = await Scripted.start(() => new Promise<Response>(() => {}));
  const engine = await over([host], quick);
  const { status, code } = await assertRejects(() => engine.plan(), Error) as RequestError;
  assertEquals([status, code], [503, "no_host"]);
});

test("what is asked of a session whose host falls silent is told", async () => {
  const never = new Promise<Response>(() => {});
  await using host = await Scripted.start(({ path }) =>
    path === "/v1/sessions" ? session() : never
  );
  const engine = await over([host], quick);
  const open = await engine.session();
  host.answersProbes = false;
  const asks = [
    () => open.append({ prompt: "a" }),
    () => open.truncate(0),
    () => open.fork(),
    () => open.stats(),
    () => open.generate({ prompt: "a" }).result,
    () => open.close(),
  ];
  for (const ask of asks) {
    const { status, code } = await assertRejects(ask as () => Promise<unknown>) as RequestError;
    assertEquals([status, code], [503, "host_gone"]);
  }
});

test("a host that is full for one tenant is left to the others", async () => {
  await using host = await Scripted.start(({ path, headers }) => {
    if (headers.get("Specache-Tenant") === "anna") {
      return refusal(503, path.includes("store") ? "capacity" : "busy", { "Retry-After": "60" });
    }
    return path === "/v1/generate" ? events([{ result: RESULT }]) : session();
  });
  await using other = await Scripted.start(() => events([{ result: RESULT }]));
  const engine = await over([host, other], { ageMs: 1e6 });
  const create = (tenant: string, what: string) =>
    engine.pass(
      new Request(`http://front/v1/${what}`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: "{}",
      }),
      tenant,
    );
  for (const what of ["sessions", "stores"]) {
    for (let at = 0; at < 2; at++) await create("anna", what).catch(() => {});
  }
  const before = host.heard.length;
  assertGreater(before, 1);
  for (let at = 0; at < 6; at++) await engine.generate({ prompt: "hi", salt: "bert" }).result;
  assertEquals(host.heard.length - before, 3);
});

test("a host that says at a probe that it takes nothing is left alone for that time", async () => {
  await using host = await Scripted.start(({ path }) =>
    path === "/v1/stats" ? refusal(503, "busy", { "Retry-After": "60" }) : session()
  );
  await using other = await Scripted.start();
  host.answersProbes = false;
  const engine = await over([host, other], { ageMs: 1e6 });
  await engine.stats();
  for (let at = 0; at < 4; at++) await engine.generate({ prompt: "hi" }).result;
  assertEquals([host.heard.length, other.heard.length], [1, 4]);
});

test("what a proxy refuses of one request does not make its host gone", async () => {
  for (const status of [400, 413, 414, 431]) {
    let small = false;
    await using host = await Scripted.start(() =>
      small ? events([{ result: RESULT }]) : new Response("<html>", { status })
    );
    await using other = await Scripted.start();
    const engine = await over([host, other], { ageMs: 1e6 });
    const ask = () => engine.generate({ prompt: "hi" }).result;
    for (let at = 0; at < 2; at++) await ask();
    const before = host.heard.length;
    assertGreater(before, 0);
    small = true;
    for (let at = 0; at < 4; at++) await ask();
    assertEquals(host.heard.length - before, 2);
  }
});

test("a client that breaks off its body is not its host's fault", async () => {
  const reports: unknown[] = [];
  await using host = await Scripted.start(({ path }) =>
    path === "/v1/generate" ? events([{ result: RESULT }]) : session()
  );
  const report = (error: unknown) => reports.push(error);
  const engine = await over([host], { ageMs: 1e6, report });
  const headers = { "Content-Type": "application/json" };
  const made = new Request("http://front/v1/sessions", { method: "POST", headers, body: "{}" });
  const { id } = await (await engine.pass(made, "anna")).json();
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('{"prompt": "'));
      setTimeout(() => controller.error(new Error("the client broke off")), 50);
    },
  });
  const init = { method: "POST", headers, body, duplex: "half" };
  const broken = new Request(`http://front/v1/sessions/${id}/append`, init);
  const error = await assertRejects(() => engine.pass(broken, "anna"), Error);
  assertEquals((error as { code?: string }).code, "cancelled");
  assertEquals(reports, []);
});

async function readyOf(asker: Asker): Promise<[number, string]> {
  const { status, body } = await asker.get("/ready");
  return [status, body.status ?? body.error.code];
}

test("a front is ready while one of its hosts is, and asks them once in a while", async () => {
  let closing = false;
  await using host = await Scripted.start(({ path }) =>
    path !== "/ready" || closing ? refusal(503, "closed") : Response.json({ status: "ready" })
  );
  const engine = await over([NOWHERE, host], quick);
  const asker = new Asker(createApp(engine, { keys: ["anna"] }));
  for (let at = 0; at < 20; at++) assertEquals(await readyOf(asker), [200, "ready"]);
  assertLessOrEqual(host.heard.length, 2);
  closing = true;
  await new Promise((answer) => setTimeout(answer, READY_MS + 10));
  assertEquals(await readyOf(asker), [503, "no_host"]);
  assertEquals(await readyOf(asker), [503, "no_host"]);
  assertEquals((await asker.get("/health")).status, 200);
  closing = false;
  await new Promise((answer) => setTimeout(answer, READY_MS + 10));
  assertEquals(await readyOf(asker), [200, "ready"]);
});

test("a front whose hosts are gone or silent is not ready, and says so in time", async () => {
  await using silent = await Silent.start();
  const asker = new Asker(createApp(await over([NOWHERE, silent], quick)));
  const began = performance.now();
  assertEquals(await readyOf(asker), [503, "no_host"]);
  assertLess(performance.now() - began, 60_000);
});

test("a host that does not know the front's key is not ready", async () => {
  await using host = await Scripted.start(({ path }) =>
    path === "/ready" ? Response.json({ status: "ready" }) : refusal(401, "invalid_api_key")
  );
  host.answersProbes = false;
  const asker = new Asker(createApp(await over([host], quick)));
  assertEquals(await readyOf(asker), [503, "no_host"]);
});

test("names of sessions open where the hosts and keys, or the secret, are the same", async () => {
  await using host = await Scripted.start(session);
  const headers = { "Content-Type": "application/json" };
  const url = "http://front/v1/sessions";
  const known = async (options: object, other: object = options) => {
    const [maker, opener] = [await over([host], options), await over([host], other)];
    const made = new Request(url, { method: "POST", headers, body: "{}" });
    const { id } = await (await maker.pass(made, "anna")).json();
    return await opener.pass(new Request(`${url}/${id}`), "anna").then(() => true, () => false);
  };
  const unkeyed = { hosts: [{ url: host.url }] };
  assertEquals(await known({}), true);
  assertEquals(await known(unkeyed), false);
  assertEquals(await known({ ...unkeyed, secret: "sixteen or more.." }), true);
  assertEquals(
    await known({ secret: "sixteen or more.." }, { secret: "sixteen or others" }),
    false,
  );
  assertEquals(await known({ hosts: [{ url: host.url, key: "other" }] }, {}), false);
});

test("a host's own name that could lead elsewhere is never taken", async () => {
  for (const id of ["../stores/x", "a?b", "a/b", "", "a b", "%2e", ".", "x".repeat(101)]) {
    await using host = await Scripted.start(({ method }) =>
      method === "POST" ? Response.json({ id, length: 0 }) : Response.json({ data: [{ id }] })
    );
    const engine = await over([host], { ageMs: 1e6 });
    const asker = new Asker(createApp(engine));
    for (const answer of [await asker.post("/v1/sessions"), await asker.get("/v1/sessions")]) {
      assertEquals([answer.status, answer.body.error.code], [503, "no_host"], id);
    }
    await assertRejects(() => engine.session(), Error, "none of 1 hosts can be reached");
  }
});
