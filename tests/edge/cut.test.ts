// A stream of a host that is cut at any byte: whoever reads at the front gets one host's text
// whole, or the beginning of one host's text and an error; never a piece of two.
import type { Piece } from "../../mod.ts";
import { RemoteGeneration } from "../../edge/generation.ts";
import { Host } from "../../edge/host.ts";
import { hashOf } from "../../edge/ring.ts";
import { Sealer } from "../../edge/sealed.ts";
import { createApp } from "../../routes/app.ts";
import { RequestError } from "../../routes/errors.ts";
import { type Answer, Asker } from "../routes/ask.ts";
import { chatBody, eventsOf, post } from "../routes/fake.ts";
import { assert, assertEquals, test } from "../harness.ts";
import { Cutting } from "./cutting.ts";
import { over, RESULT, Scripted } from "./scripted.ts";

const encoder = new TextEncoder();
const rules = { ageMs: 1e6, probeMs: 1000, model: null };

// The stream of a host that answers with these letters.
function streamOf(letters: string): Uint8Array<ArrayBuffer> {
  const pieces = [...letters].map((text, id) => ({ piece: { id, text } }));
  const result = { ...RESULT, text: letters };
  const events = [{ started: true }, ...pieces, { result }];
  const data = events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("");
  return encoder.encode(data);
}

const [LOST, WHOLE] = ["abc", "xyz"];

// A host in this process: its bytes come at one read, and then the end of the stream or a fault.
class Told extends Host {
  constructor(
    index: number,
    readonly bytes: Uint8Array<ArrayBuffer>,
    readonly fault: Error | null,
  ) {
    super({ url: `http://host-${index}` }, index, rules);
  }

  override ask(): Promise<Response> {
    let at = 0;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        if (at++ === 0 && this.bytes.length > 0) controller.enqueue(this.bytes);
        else if (this.fault !== null) controller.error(this.fault);
        else controller.close();
      },
    }, { highWaterMark: 0 });
    return Promise.resolve(new Response(body));
  }
}

// What is read by who begins after so many turns of the microtasks.
async function readLate(run: AsyncIterable<Piece>, turns: number): Promise<[string, unknown]> {
  let text = "";
  for (let turn = 0; turn < turns; turn++) await Promise.resolve();
  try {
    for await (const piece of run) text += piece.text;
  } catch (error) {
    return [text, error];
  }
  return [text, null];
}

test("a stream that is cut at any byte is one host's, however late its reader is", async () => {
  const bytes = streamOf(LOST);
  let [again, told] = [0, 0];
  for (let cut = 0; cut <= bytes.length; cut++) {
    for (const fault of [null, new Error("reset")]) {
      for (let turns = 0; turns < 32; turns++) {
        const first = new Told(0, bytes.subarray(0, cut), fault);
        const hosts = [first, new Told(1, streamOf(WHOLE), null)];
        const run = new RemoteGeneration({
          path: "/v1/generate",
          silenceMs: 1e6,
          learn: () => {},
          place: async (_, attempt) => {
            try {
              return await attempt(hosts[0]);
            } catch (error) {
              if (error instanceof RequestError) throw error;
              return await attempt(hosts[1]);
            }
          },
        }, { prompt: "hello" });
        const [text, error] = await readLate(run, turns);
        const where = `byte ${cut} of ${bytes.length}, ${fault}, ${turns} turns: ${text}`;
        if (error === null) {
          assert(text === WHOLE || text === LOST && cut === bytes.length, where);
          assertEquals((await run.result).text, text, where);
          again += Number(text === WHOLE);
        } else {
          assertEquals((error as RequestError).code, "host_gone", where);
          assert(text !== "" && LOST.startsWith(text), where);
          told++;
        }
      }
    }
  }
  assert(again > 0 && told > 0);
});

for (const breaks of [true, false]) {
  const how = breaks ? "breaks" : "ends";
  test(`a chat over a host that ${how} at any byte is one host's, or is told`, async () => {
    const answer = { type: "text/event-stream", bytes: streamOf(LOST) };
    await using host = await Cutting.start(() => answer, breaks);
    await using other = await Scripted.start(() => new Response(streamOf(WHOLE)));
    for (host.bytes = 0; host.bytes < answer.bytes.length; host.bytes += 3) {
      const engine = await over([host, other], { ageMs: 1e6 });
      const asked = post("/v1/chat/completions", chatBody({ stream: true }));
      const events = await eventsOf(await createApp(engine).fetch(asked));
      const text = events.map(({ choices }) => choices?.[0].delta.content ?? "").join("");
      const failed = events.find(({ error }) => error);
      const where = `byte ${host.bytes}: ${JSON.stringify(events)}`;
      if (failed === undefined) assertEquals(text, WHOLE, where);
      else assertEquals([failed.error.code, LOST.startsWith(text)], ["host_gone", true], where);
    }
    assert(host.answers > 50);
  });

  test(`a stream of a session whose host ${how} at any byte has whole events`, async () => {
    const bytes = streamOf(LOST);
    const made = new TextEncoder().encode(JSON.stringify({ id: "own", length: 0 }));
    let generates = false;
    await using host = await Cutting.start(
      () =>
        generates
          ? { type: "text/event-stream", bytes }
          : { type: "application/json", bytes: made, status: 201 },
      breaks,
    );
    const asker = new Asker(createApp(await over([host], { ageMs: 1e6 })));
    const { id } = (await asker.post("/v1/sessions")).body;
    generates = true;
    for (host.bytes = 0; host.bytes <= bytes.length; host.bytes++) {
      const { status, body } = await asker.post(`/v1/sessions/${id}/generate`, { stream: true });
      const where = `byte ${host.bytes}: ${status} ${JSON.stringify(body)}`;
      if (status === 503) continue; // the head was lost as well
      const events = await eventsOf(new Response(body));
      const last = events.pop();
      assert(events.every(({ started, piece }) => started || piece), where);
      if (host.bytes === bytes.length) assertEquals(last.result.text, LOST);
      else assertEquals(last.error.code, "host_gone", where);
    }
  });
}

const JSONS: readonly [string, object, (asker: Asker, id: string) => Promise<Answer>][] = [
  ["a plan", { tokens: 1000 }, (asker) => asker.get("/v1/plan")],
  ["a list", { data: [{ id: "own" }] }, (asker) => asker.get("/v1/sessions")],
  ["a new session", { id: "own" }, (asker) => asker.post("/v1/sessions")],
  ["a session", { id: "own" }, (asker, id) => asker.get(`/v1/sessions/${id}`)],
  ["a fork", { id: "other" }, (asker, id) => asker.post(`/v1/sessions/${id}/fork`)],
  [
    "what is generated",
    { result: RESULT },
    (asker, id) => asker.post(`/v1/sessions/${id}/generate`),
  ],
];

for (const breaks of [true, false]) {
  const how = breaks ? "breaks" : "ends";
  for (const [what, told, ask] of JSONS) {
    test(`JSON of ${what} that ${how} at any byte is the host's fault`, async () => {
      const answer = { type: "application/json", bytes: encoder.encode(JSON.stringify(told)) };
      await using host = await Cutting.start(() => answer, breaks);
      const engine = await over([host], { ageMs: 1e6 });
      const asker = new Asker(createApp(engine));
      const sealer = new Sealer(JSON.stringify([[host.url, "host-key"]]));
      const id = await sealer.seal({ host: hashOf(host.url).toString(36), id: "own" }, "");
      for (host.bytes = 0; host.bytes <= answer.bytes.length; host.bytes++) {
        const { status, body } = await ask(asker, id);
        const where = `byte ${host.bytes}: ${status} ${JSON.stringify(body)}`;
        if (host.bytes === answer.bytes.length) assertEquals(status, 200, where);
        else {
          const { code } = body.error;
          // Of no byte the head may come or not.
          if (host.bytes > 0) assertEquals(status, code === "host_gone" ? 502 : 503, where);
          assert(["host_gone", "no_host"].includes(code), where);
          assertEquals(body.error.type, "server_error", where);
        }
      }
    });
  }
}

test("where JSON of a plan or a new session breaks off another host is asked", async () => {
  const answer = { type: "application/json", bytes: encoder.encode('{"id":"own","length":0}') };
  await using host = await Cutting.start(() => answer, true);
  await using other = await Scripted.start(() => Response.json({ id: "theirs", length: 7 }));
  host.bytes = 9;
  for (let at = 0; at < 4; at++) {
    const engine = await over([host, other], { ageMs: 1e6 });
    assertEquals((await engine.plan() as { length?: number }).length, 7);
    assertEquals((await (await over([host, other], { ageMs: 1e6 })).session()).length, 7);
  }
  assert(host.answers > 0);
});

test("an event that is no object, and JSON of another kind, are the host's fault", async () => {
  for (const data of ["null", "7", '"a"', "{"]) {
    await using host = await Scripted.start(({ path }) =>
      path === "/v1/generate"
        ? new Response(`data: ${data}\n\n`)
        : new Response(data, { headers: { "Content-Type": "application/json" } })
    );
    const asker = new Asker(createApp(await over([host], { ageMs: 1e6 })));
    const answers = [
      await asker.post("/v1/chat/completions", chatBody()),
      await asker.get("/v1/plan"),
      await asker.get("/v1/sessions"),
      await asker.post("/v1/sessions"),
    ];
    for (const { status, body } of answers) {
      assertEquals([status, body.error.code], [503, "no_host"], data);
    }
  }
});
