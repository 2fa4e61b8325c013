// Which host a request goes to.
import { HostError } from "../../edge/host_error.ts";
import { Hosts, LOAD_BOUND } from "../../edge/hosts.ts";
import { RemoteEngine } from "../../edge/remote.ts";
import { SpecacheError } from "../../mod.ts";
import type { RequestError } from "../../routes/errors.ts";
import {
  assertEquals,
  assertGreater,
  assertLess,
  assertLessOrEqual,
  assertRejects,
  test,
} from "../harness.ts";
import { until } from "../cli/server.ts";
import { events, NOWHERE, over, refusal, RESULT, Scripted } from "./scripted.ts";

const prompt = "x".repeat(500);

/** Hosts that end with the test. */
class Several implements AsyncDisposable {
  constructor(readonly hosts: readonly Scripted[]) {}

  static async start(
    count: number,
    answer?: Parameters<typeof Scripted.start>[0],
  ): Promise<Several> {
    return new Several(
      await Promise.all(Array.from({ length: count }, () => Scripted.start(answer))),
    );
  }

  /** Requests of each so far. */
  get counts(): number[] {
    return this.hosts.map(({ heard }) => heard.length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const host of this.hosts) await host[Symbol.asyncDispose]();
  }
}

test("requests that begin alike go to one host, others to others", async () => {
  await using several = await Several.start(3);
  const engine = await over(several.hosts);
  for (let at = 0; at < 8; at++) await engine.generate({ prompt: `${prompt} ${at}` }).result;
  // The beginning is the first 1024 bytes: the ends of these prompts belong to it.
  const long = "y".repeat(1024);
  const before = several.counts;
  for (let at = 0; at < 8; at++) await engine.generate({ prompt: `${long} ${at}` }).result;
  const added = several.counts.map((count, host) => count - before[host]);
  assertEquals(added.filter((count) => count > 0), [8]);
  for (let at = 0; at < 40; at++) await engine.generate({ prompt: `${at} ${prompt}` }).result;
  for (const [host, count] of several.counts.entries()) assertGreater(count, before[host]);
});

test("what is too short to share anything goes in turns", async () => {
  await using several = await Several.start(3);
  const engine = await over(several.hosts);
  for (let at = 0; at < 9; at++) await engine.generate({ prompt: "hello" }).result;
  assertEquals(several.counts, [3, 3, 3]);
});

test("one beginning at once fills its host to 1.25 times the mean, then others", async () => {
  const ends: (() => void)[] = [];
  await using several = await Several.start(4, async () => {
    await new Promise<void>((answer) => ends.push(answer));
    return events([{ result: RESULT }]);
  });
  const engine = await over(several.hosts, { ageMs: 1e6 });
  await engine.stats(); // what hosts tell is known: nothing runs
  const runs = Array.from({ length: 40 }, () => engine.generate({ prompt }));
  await until(() => ends.length === 40);
  // As in consistent hashing with bounded loads: at most the bound times the mean, rounded up.
  for (const count of several.counts) {
    assertLessOrEqual(count, Math.ceil(LOAD_BOUND * 40 / 4));
  }
  assertEquals(Math.max(...several.counts), Math.ceil(LOAD_BOUND * 40 / 4));
  ends.forEach((end) => end());
  await Promise.all(runs.map(({ result }) => result));
});

for (const [running, waiting] of [[10, undefined], [1, 9]] as const) {
  const load = waiting === undefined ? "runs" : "waits";
  test(`what ${load} at a host counts, whoever else it works for`, async () => {
    await using several = await Several.start(2);
    const engine = await over(several.hosts, { ageMs: 1e6 });
    Object.assign(several.hosts[0], { running, waiting });
    await engine.stats();
    for (let at = 0; at < 6; at++) await engine.generate({ prompt: "hello" }).result;
    assertEquals(several.counts, [0, 6]);
    for (let at = 0; at < 20; at++) await engine.generate({ prompt: `${at} ${prompt}` }).result;
    assertEquals(several.counts, [0, 26]);
  });
}

test("a host that asks to be left alone is, for as long as it says", async () => {
  let closing = true;
  const first = () => closing ? refusal(503, "closed", { "Retry-After": "1" }) : ended();
  const ended = () => events([{ result: RESULT }]);
  await using host = await Scripted.start(first);
  await using other = await Scripted.start(ended);
  const engine = await over([host, other]);
  const ask = () => engine.generate({ prompt: "hello" }).result;
  for (let at = 0; at < 6; at++) await ask();
  assertEquals([host.heard.length, other.heard.length], [1, 6]);
  closing = false;
  await new Promise((answer) => setTimeout(answer, 1010));
  for (let at = 0; at < 6; at++) await ask();
  assertEquals([host.heard.length, other.heard.length], [4, 9]);
});

test("a client that leaves in the middle of a stream leaves its host to others", async () => {
  const piece = { id: 104, text: "h" };
  await using several = await Several.start(
    2,
    ({ body }) =>
      body.includes("leaves") ? events([{ piece }], false) : events([{ result: RESULT }]),
  );
  const engine = await over(several.hosts, { ageMs: 1e6 });
  const leaves = async (how: string) => {
    const client = new AbortController();
    const run = engine.generate({ prompt: "leaves", signal: client.signal });
    await run.started;
    if (how === "signal") client.abort();
    else for await (const _ of run) break;
    await assertRejects(() => run.result);
  };
  for (const how of ["signal", "break"]) {
    await leaves(how);
    const before = several.counts;
    for (let at = 0; at < 4; at++) await engine.generate({ prompt: "stays" }).result;
    assertEquals(several.counts.map((count, host) => count - before[host]), [2, 2], how);
  }
});

test("a host that was gone is asked beside requests, and takes its own again", async () => {
  let broken = true;
  await using host = await Scripted.start(() =>
    broken ? new Response("", { status: 502 }) : events([{ result: RESULT }])
  );
  await using other = await Scripted.start();
  const engine = await over([host, other], { ageMs: 100 });
  host.answersProbes = false;
  const ask = () => engine.generate({ prompt: "hello" }).result;
  for (let at = 0; at < 6; at++) await ask();
  assertEquals(other.heard.length, 6);
  const generations = () => host.heard.filter(({ path }) => path === "/v1/generate").length;
  assertLessOrEqual(generations(), 1);
  broken = false;
  host.answersProbes = true;
  await new Promise((answer) => setTimeout(answer, 110));
  await ask(); // asks along the way whether the host is there
  await until(() => host.probes > 0);
  const before = generations();
  for (let at = 0; at < 6; at++) await ask();
  assertGreater(generations(), before);
});

test("watch() asks the hosts without requests, until it is disposed of", async () => {
  await using host = await Scripted.start();
  const engine = await over([host]);
  {
    using _ = engine.watch(10);
    await until(() => host.probes >= 3);
  }
  await new Promise((answer) => setTimeout(answer, 50));
  const { probes } = host;
  await new Promise((answer) => setTimeout(answer, 50));
  assertEquals(host.probes, probes);
});

test("requests ask a host how it is once in so many ms", async () => {
  await using host = await Scripted.start();
  const engine = await over([host], { ageMs: 1e6 });
  for (let at = 0; at < 5; at++) await engine.generate({ prompt }).result;
  await until(() => host.probes === 1);
  assertLess(host.probes, 2);
});

test("a request asks two hosts how they are, the longest unasked first", async () => {
  await using several = await Several.start(5);
  const engine = await over(several.hosts, { ageMs: 1e6 });
  const asked = () => several.hosts.reduce((sum, { probes }) => sum + probes, 0);
  for (const count of [2, 4, 5, 5]) {
    await engine.generate({ prompt }).result;
    await until(() => asked() === count);
  }
  assertEquals(several.hosts.map(({ probes }) => probes), [1, 1, 1, 1, 1]);
});

test("RemoteEngine.open() asks the hosts what the options do not tell", async () => {
  await using several = await Several.start(2);
  const hosts = [...several.hosts, NOWHERE].map(({ url }) => ({ url: `${url}/v1` }));
  const engine = await RemoteEngine.open({ hosts });
  assertEquals([engine.model.name, engine.contextTokens], ["fake", 1000]);
  const other = await RemoteEngine.open({ hosts, contextTokens: 500 });
  assertEquals([other.model.name, other.contextTokens], ["fake", 500]);
});

test("RemoteEngine.open() refuses hosts of different models", async () => {
  await using several = await Several.start(2);
  several.hosts[1].model = "other";
  const hosts = several.hosts.map(({ url }) => ({ url }));
  const error = await assertRejects(() => RemoteEngine.open({ hosts }), SpecacheError);
  const sentence = "Cannot open the hosts: a host serves other, which is not fake";
  assertEquals([error.code, error.message], ["argument", sentence]);
});

test("a host that serves another model later is used no more", async () => {
  await using several = await Several.start(2);
  const engine = await over(several.hosts);
  several.hosts[0].model = "other";
  await engine.stats();
  for (let at = 0; at < 4; at++) await engine.generate({ prompt: "hello" }).result;
  assertEquals(several.counts, [0, 4]);
});

const url = "http://localhost:8080";
const refusals: readonly [object, string][] = [
  [{}, "hosts is missing"],
  [{ hosts: [] }, "hosts [] is empty"],
  [{ hosts: [{ url: "localhost" }] }, "hosts[0].url localhost is not an http address"],
  [{ hosts: [{ url: "ftp://a" }] }, "hosts[0].url ftp://a is not an http address"],
  [{ hosts: [{ url: "http://a:b@c" }] }, "hosts[0].url http://a:b@c is not an http address"],
  [{ hosts: [{ url, key: "" }] }, 'hosts[0].key "" has other characters than a header may'],
  [{ hosts: [{ url }], ageMs: 0 }, "ageMs 0 is below 1"],
  [{ hosts: [{ url }], contextTokens: 0 }, "contextTokens 0 is below 1"],
  [{ hosts: [{ url }], keys: [] }, "option keys is not known"],
];

test("RemoteEngine.open() refuses options by name", async () => {
  for (const [options, sentence] of refusals) {
    const open = () => RemoteEngine.open(options as Parameters<typeof RemoteEngine.open>[0]);
    const { code, message } = await assertRejects(open, SpecacheError);
    assertEquals([code, message], ["argument", `Cannot open the hosts: ${sentence}`]);
  }
});

test("stats() adds up what the hosts that are there tell", async () => {
  await using several = await Several.start(2);
  several.hosts[0].running = 1;
  several.hosts[1].running = 2;
  const engine = await over([...several.hosts, NOWHERE]);
  assertEquals(await engine.stats() as unknown, { running: 3, requests: { ended: 4 } });
});

test("a request to a session whose host is silent and gone is told so", async () => {
  const made = () => Response.json({ id: "own-name", length: 0 }, { status: 201 });
  const never = new Promise<Response>(() => {});
  await using host = await Scripted.start(({ method }) => method === "POST" ? made() : never);
  const engine = await over([host], { silenceMs: 20, probeMs: 50 });
  const ask = (path: string, init: RequestInit) =>
    engine.pass(new Request(`http://front/v1/sessions${path}`, init), "tenant");
  const headers = { "Content-Type": "application/json" };
  const { id } = await (await ask("", { method: "POST", headers, body: "{}" })).json();
  assertEquals(id.includes("own"), false);
  host.answersProbes = false;
  const error = await assertRejects(() => ask(`/${id}`, {}), Error) as RequestError;
  assertEquals([error.status, error.code], [503, "host_gone"]);
});

test("a host that is silent and gone does not hold up a list, nor a new session", async () => {
  const never = new Promise<Response>(() => {});
  await using gone = await Scripted.start(() => never);
  await using other = await Scripted.start(({ method }) =>
    method === "POST"
      ? Response.json({ id: "theirs", length: 0 }, { status: 201 })
      : Response.json({ data: [{ id: "theirs", length: 0 }] })
  );
  const engine = await over([gone, other], { silenceMs: 20, probeMs: 50 });
  gone.answersProbes = false;
  const ask = (init: RequestInit = {}) =>
    engine.pass(new Request("http://front/v1/sessions", init), "tenant");
  assertEquals((await (await ask()).json()).data.length, 1);
  const headers = { "Content-Type": "application/json" };
  for (let at = 0; at < 4; at++) {
    assertEquals((await ask({ method: "POST", headers, body: "{}" })).status, 201);
  }
});

test("a client that leaves what is passed on is no failure of the front", async () => {
  await using host = await Scripted.start(() => new Promise<Response>(() => {}));
  const engine = await over([host]);
  for (const path of ["", "/name"]) {
    const client = new AbortController();
    const request = new Request(`http://front/v1/sessions${path}`, { signal: client.signal });
    const left = engine.pass(request, "tenant");
    client.abort();
    const error = await assertRejects(() => left, SpecacheError, "the client has left");
    assertEquals(error.code, "cancelled");
  }
});

test("whatever comes of requests, no load is left of them", async () => {
  const hosts = new Hosts({
    hosts: [NOWHERE, { url: "http://127.0.0.1:10" }, { url: "http://127.0.0.1:11" }],
    ...{ ageMs: 1e6, probeMs: 100, model: null, report: () => {} },
  });
  const outcomes = [
    () => Promise.resolve(),
    () => Promise.reject(new Error("of the request")),
    () => Promise.reject(new HostError("of the host")),
  ];
  await Promise.all(Array.from({ length: 90 }, async (_, at) => {
    const key = at % 2 === 0 ? null : at;
    await hosts.place(key, outcomes[at % 3]).catch(() => {});
  }));
  assertEquals(hosts.all.map(({ load }) => load), [0, 0, 0]);
  const end = hosts.all[0].begin();
  assertEquals(hosts.all[0].load, 1);
  end();
  end();
  assertEquals(hosts.all[0].load, 0);
});
