// Many requests at random over a store that only counts: each comes to its end with the text that
// it has alone, whoever is set back, cancelled or judged meanwhile, and nothing is left of it.
import { DecodeState } from "../../engine/decode_state.ts";
import { RequestTotals } from "../../engine/engine_stats.ts";
import type { GenerateAsk } from "../../engine/messages.ts";
import { Requests } from "../../engine/requests.ts";
import { settleRequest } from "../../engine/settings.ts";
import { Draws } from "../../eval/draws.ts";
import { type GenerateOptions, SpecacheError } from "../../mod.ts";
import { assert, assertEquals, assertGreater, test } from "../harness.ts";
import { FakeStore } from "./fake_store.ts";

const CONTEXT = 640;

type Options = ConstructorParameters<typeof FakeStore>[0];

class Server {
  readonly store: FakeStore;
  readonly sessions = new Map<number, DecodeState>();
  readonly requests: Requests;
  #tickets = 0;

  constructor(options: Options) {
    this.store = new FakeStore({ queue: 1000, ...options }, CONTEXT);
    this.requests = new Requests(this.store.native, [0], this.sessions, new RequestTotals());
  }

  ask(ids: readonly number[], options: GenerateOptions, more: Partial<GenerateAsk> = {}) {
    const request = settleRequest(options, this.store.settings, "generate");
    const cancel = new Int32Array(new SharedArrayBuffer(4));
    const ask: GenerateAsk = {
      ...{ ticket: ++this.#tickets, session: null, salt: "", client: "", ids, whole: false },
      ...{ request, grammar: null, judged: false, cancel, ...more },
    };
    const tokens: number[] = [];
    const answer = (verdict: (count: number) => Promise<boolean> | void = () => {}) =>
      this.requests.generate(ask, (event) => {
        if (event.kind === "token") return verdict(tokens.push(event.id));
      });
    const stop = () => {
      Atomics.store(cancel, 0, 1);
      this.requests.admit();
    };
    return { answer, tokens, stop };
  }

  async openSession(): Promise<number> {
    const ask = { client: "", cancel: new Int32Array(new SharedArrayBuffer(4)) };
    await this.requests.place(ask, () => {
      this.sessions.set(this.sessions.size + 1, new DecodeState(this.store.openSequence()));
      return true;
    });
    return this.sessions.size;
  }
}

function idsOf(draws: Draws, most: number): number[] {
  const beginning = [1, 2, 3][draws.below(3)]; // some begin alike
  const alike = Array.from({ length: draws.below(2) * 130 }, (_, at) => (at * beginning) % 50 + 1);
  return [...alike, ...Array.from({ length: 1 + draws.below(most) }, () => 1 + draws.below(50))];
}

function optionsOf(draws: Draws): GenerateOptions {
  return {
    maxTokens: draws.below(3) === 0 ? "rest" : 100 + draws.below(300),
    ...(draws.below(2) === 0 ? { temperature: 1, seed: draws.below(99), topK: 5 } : {}),
    ...(draws.below(3) === 0 ? { guesses: 1, accept: "off" as const } : {}),
    ...(draws.below(8) === 0 ? { late: "none" as const } : {}),
  };
}

async function alone(ids: readonly number[], options: GenerateOptions): Promise<number[]> {
  const { answer, tokens } = new Server({}).ask(ids, options);
  await answer();
  return tokens;
}

// One of them; what it comes to is checked against what it comes to alone.
async function runOne(server: Server, draws: Draws, sessions: number[]): Promise<void> {
  const [ids, options] = [idsOf(draws, 100), optionsOf(draws)];
  const session = draws.below(6) === 0 ? sessions.pop() ?? null : null; // one request at a time
  const whole = session !== null;
  const more = { client: `client ${draws.below(3)}`, salt: `salt ${draws.below(2)}` };
  const { answer, tokens, stop } = server.ask(ids, options, { session, whole, ...more });
  const [cancelAt, judges] = [draws.below(3) === 0 ? draws.below(200) : -1, draws.below(3) === 0];
  const slow = draws.below(2) * 3;
  if (cancelAt === 0) setTimeout(stop, draws.below(30));
  try {
    const { stop: how } = await answer((count) => {
      if (count === cancelAt) stop();
      if (!judges || count % 40 !== 0) return;
      return new Promise((tell) => setTimeout(() => tell(false), slow));
    });
    const expected = await alone(ids, options);
    if (how === "cancelled") assertEquals(tokens, expected.slice(0, tokens.length));
    else assertEquals(tokens, expected);
  } catch (error) {
    assert(error instanceof SpecacheError && error.code === "capacity", String(error));
    assertEquals(tokens, [], "who runs is not refused");
    assert(server.sessions.size > 0, String(error)); // they may hold what it wants for ever
  } finally {
    if (session !== null) sessions.push(session);
  }
}

const servers: readonly (readonly [string, Options, number])[] = [
  ["a pool of one context", { sequences: 6, poolTokens: CONTEXT }, 0],
  ["texts that are kept", { sequences: 5, poolTokens: CONTEXT, prefixes: 4 }, 0],
  ["generated tokens that are reused", {
    ...{ sequences: 4, poolTokens: 1000, prefixes: 3, reuse: "generated" },
  }, 0],
  ["sessions", { sequences: 5, poolTokens: 1300, prefixes: 3 }, 2],
];

for (const [name, options, sessionCount] of servers) {
  test(`each request comes to its end with its own text: ${name}`, async () => {
    let setBack = 0;
    for (let seed = 1; seed <= 4; seed++) {
      const draws = new Draws(seed);
      const server = new Server(options);
      const sessions: number[] = [];
      while (sessions.length < sessionCount) sessions.push(await server.openSession());
      const runs = [];
      for (let at = 0; at < 24; at++) {
        runs.push(runOne(server, draws, sessions));
        if (draws.below(3) === 0) await new Promise((tick) => setTimeout(tick, draws.below(4)));
      }
      await Promise.all(runs);
      const { requests, store } = server;
      assertEquals([requests.waiting, requests.prefixes.counts.kept + sessions.length], [
        0,
        store.open,
      ]);
      setBack += requests.setBack;
    }
    assertGreater(setBack, 0);
  });
}

test("of several clients the one that runs most is set back first, not the youngest", async () => {
  const server = new Server({ sequences: 3, poolTokens: CONTEXT });
  const ended: string[] = [];
  const run = async (name: string, client: string) => {
    const { answer, tokens } = server.ask([5, 6, 7], { maxTokens: 250 }, { client }); // 4 pages
    await answer();
    ended.push(name);
    assertEquals(tokens, await alone([5, 6, 7], { maxTokens: 250 }));
  };
  await Promise.all([run("many 1", "many"), run("many 2", "many"), run("few", "few")]);
  assertEquals([server.requests.setBack, ended.at(-1)], [1, "many 2"]);
});

test("a session's request that waits for those that were set back does not stop them", async () => {
  const server = new Server({ sequences: 3, poolTokens: CONTEXT });
  const session = await server.openSession();
  const asks = [1, 2].map((at) => server.ask([at, 6, 7], { maxTokens: 600 }));
  const ids = Array.from({ length: 130 }, (_, at) => 1 + at % 50);
  // It is next in the line before one of them is set back; and with it that could not go on alone.
  const last = server.ask(ids, { maxTokens: 9 }, { session, whole: true, client: "another" });
  await Promise.all([...asks, last].map(({ answer }) => answer()));
  assertGreater(server.requests.setBack, 0);
  assertEquals(last.tokens, await alone(ids, { maxTokens: 9 }));
});
