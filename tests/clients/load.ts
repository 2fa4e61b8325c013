// load.ts - many clients of one server at a time, some of which leave: what came back, beside what
// each request is answered alone.
import { listen } from "../../cli/listen.ts";
import { needleModel, shippedSource } from "../../eval/source.ts";
import { needleDocument } from "../../eval/needle.ts";
import { Engine, type EngineStats } from "../../mod.ts";
import { createApp } from "../../routes/app.ts";
import { assert, assertEquals } from "../harness.ts";
import { Draws } from "../../eval/draws.ts";

/** A request, as every client may send it. */
interface Asked {
  readonly body: Record<string, unknown>;
  /** What it is answered alone. */
  answer: string;
}

/** What a load asks for. */
export interface Load {
  readonly clients: number;
  /** Requests of a client, one after another. */
  readonly requests: number;
  readonly seed: number;
}

/** What came of it. */
export interface Loaded {
  readonly answered: number;
  readonly cancelled: number;
  /** Requests without an answer, and with another's. */
  readonly lost: string[];
  readonly mixed: string[];
  /** Before and after. */
  readonly stats: readonly [EngineStats, EngineStats];
}

const KINDS = 24;
const CONTEXT = 1024;
const PREFIXES = 8;

// Prompts of 40 to 700 tokens, some with the same beginning, answers of 1 to 40, drawn and greedy.
async function kinds(seed: number): Promise<Asked[]> {
  const source = await shippedSource();
  const engine = await Engine.open({ model: needleModel, contextTokens: CONTEXT });
  const draws = new Draws(seed);
  const asked: Asked[] = [];
  for (let kind = 0; kind < KINDS; kind++) {
    const { ids: whole } = needleDocument(source, { seed: kind % 5, tokens: 700, facts: 6 });
    const ids = whole.slice(0, 40 + draws.below(660));
    const body = {
      model: "needle",
      messages: [{ role: "user", content: engine.tokenizer!.decode(ids) }],
      max_tokens: 1 + draws.below(40),
      temperature: kind % 2,
      seed: kind,
      stream: kind % 3 !== 0,
      ...kind % 4 === 0 ? { stop: ["."] } : {},
    };
    asked.push({ body, answer: "" });
  }
  await engine.close();
  return asked;
}

/** Nothing was lost or mixed up, and what the requests took is given back. */
export function assertWhole(
  { answered, cancelled, lost, mixed, stats }: Loaded,
  requests: number,
): void {
  assertEquals([lost, mixed], [[], []]);
  assertEquals(answered + cancelled, requests);
  assert(cancelled > requests / 10 && answered > requests / 3, `${cancelled}, ${answered}`);
  const [before, after] = stats;
  assertEquals([after.sessions, after.running, after.waiting], [0, 0, 0]);
  assertEquals(after.reservedBytes, before.reservedBytes);
  // What is kept for reuse is all that is held, and leaves when it is wanted.
  assert(after.prefixes.kept <= PREFIXES, `${after.prefixes.kept}`);
  assert(after.prefixes.hits > before.prefixes.hits);
}

/** Opens a server for loads, and tells its address. */
export async function servingLoad(body: (url: string) => Promise<void>): Promise<void> {
  await using engine = await Engine.open({
    ...{ model: needleModel, contextTokens: CONTEXT, sequences: 4, prefixes: PREFIXES, k: 32 },
    chatTemplate: "{% for m in messages %}{{ m.content }}\n{% endfor %}",
  });
  const app = createApp(engine, { name: "needle" });
  const server = await listen((request) => app.fetch(request), { hostname: "127.0.0.1", port: 0 });
  try {
    await body(server.url);
  } finally {
    await server.end();
  }
}

/** Runs a load against a server of servingLoad(). */
export async function load(server: string, { clients, requests, seed }: Load): Promise<Loaded> {
  const asked = await kinds(seed);
  const url = `${server}/v1/chat/completions`;
  for (const each of asked) each.answer = (await ask(url, each.body, null))!;
  const before = await settled(server);
  const counts = { answered: 0, cancelled: 0, lost: [] as string[], mixed: [] as string[] };
  const client = async (name: number) => {
    const draws = new Draws(seed + 1 + name);
    for (let at = 0; at < requests; at++) {
      const { body, answer } = draws.of(asked);
      const leaves = draws.chance() < 1 / 3 ? 200 * draws.chance() ** 3 : null; // milliseconds
      try {
        const text = await ask(url, body, leaves);
        if (text === null) counts.cancelled++;
        else if (text === answer) counts.answered++;
        else counts.mixed.push(`client ${name}, request ${at}: ${text} is not ${answer}`);
      } catch (error) {
        counts.lost.push(`client ${name}, request ${at}: ${error}`);
      }
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, name) => client(name)));
  return { ...counts, stats: [before, await settled(server)] };
}

// The text of an answer; null: the client left before it was whole.
async function ask(
  url: string,
  body: Record<string, unknown>,
  leaves: number | null,
): Promise<string | null> {
  const signal = leaves === null ? undefined : AbortSignal.timeout(Math.ceil(leaves));
  try {
    const headers = { "Content-Type": "application/json" };
    const response = await fetch(url, {
      method: "POST",
      headers,
      body: JSON.stringify(body),
      signal,
    });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`status ${response.status}: ${text}`);
    return body.stream ? streamed(text) : JSON.parse(text).choices[0].message.content;
  } catch (error) {
    if (signal?.aborted) return null;
    throw error;
  }
}

function streamed(text: string): string {
  const events = text.split("\n\n").filter((event) => event.startsWith("data: "));
  if (events.at(-1) !== "data: [DONE]") throw new Error(`the stream ended with ${events.at(-1)}`);
  return events.slice(0, -1).map((event) => JSON.parse(event.slice(6)))
    .map(({ choices }) => choices[0]?.delta.content ?? "").join("");
}

// Once nothing runs: a client that has left is heard of a moment later.
async function settled(server: string): Promise<EngineStats> {
  const end = performance.now() + 20_000;
  while (true) {
    const stats: EngineStats = await (await fetch(`${server}/v1/stats`)).json();
    if (stats.running + stats.waiting === 0) return stats;
    if (performance.now() > end) throw new Error(`${stats.running} still run`);
    await new Promise((answer) => setTimeout(answer, 10));
  }
}
