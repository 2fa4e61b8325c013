import type { Engine, GenerateOptions, Generation, Observation } from "../../mod.ts";
import type { ObservedToken, Turn } from "../../mod.ts";
import { SpecacheError } from "../../mod.ts";
import { DecodeState } from "../../engine/decode_state.ts";
import { type NativeStore, optionsOf } from "../../engine/native.ts";
import { ObservedSteps } from "../../engine/observed_steps.ts";
import { Observer, QUIET_MS } from "../../engine/observer.ts";
import { noStats } from "../../engine/stats.ts";
import { assert, assertEquals, assertGreater, assertLessOrEqual, test } from "../harness.ts";
import {
  answer,
  assertRefused,
  K,
  openNeedle,
  PROMPT,
  promptIds,
  textIds,
  withEngine,
} from "./support.ts";

const LISTS = 4 * 2; // layers and KV heads of the shipped model

/** All that an onlooker hears of one request, from before it begins until it has ended. */
interface Seen {
  readonly turns: Turn[];
  readonly tokens: ObservedToken[];
  readonly last: Observation;
  /** Steps that were in some sum of reads. */
  readonly steps: number;
}

async function seen(engine: Engine, generation: () => Generation, salt = ""): Promise<Seen> {
  const turns: Turn[] = [];
  const tokens: ObservedToken[] = [];
  let [since, steps] = [(await engine.observe({ salt })).turn, 0];
  const run = generation();
  while (true) {
    const known = { ticket: 1, tokens: tokens.length };
    const last = await engine.observe({ salt, watch: 1, since, known });
    turns.push(...last.turns);
    since = last.turn;
    tokens.push(...last.watched?.tokens ?? []);
    steps += last.watched?.reads?.steps ?? 0;
    if (last.watched?.ended) {
      await run.result;
      return { turns, tokens, last, steps };
    }
    await new Promise((turn) => setTimeout(turn, 5));
  }
}

function sum(turns: readonly Turn[], of: (turn: Turn) => number): number {
  return turns.reduce((all, turn) => all + of(turn), 0);
}

for (const far of ["ram", "file"] as const) {
  const options: GenerateOptions = { ids: promptIds, maxTokens: 60, guesses: 1 };
  test(`Engine.observe() shows each turn of a request and its text, far ${far}`, async () => {
    await withEngine({ far, prefixes: 2 }, async (engine) => { // what is kept is cut
      let run: Generation | undefined;
      const shown = await seen(engine, () => run = engine.generate(options));
      const { turns, tokens, last, steps } = shown;
      const { cache, text, usage } = await run!.result;
      assertEquals(last.watched!.ended, "length");
      assertEquals(sum(turns, (turn) => turn.readTokens), PROMPT);
      assertEquals(sum(turns, (turn) => turn.tokens), cache.tokens - PROMPT);
      assertEquals(sum(turns, ({ rows }) => rows.late), cache.lateRows);
      assertEquals(sum(turns, ({ rows }) => rows.reused), cache.reusedRows);
      assertEquals(sum(turns, ({ guess }) => guess.made), cache.guess.made);
      assertEquals(turns.map(({ turn }) => turn), turns.map((_, at) => turns[0].turn + at));
      assert(turns.every((turn, at) => at === 0 || turn.startMs >= turns[at - 1].startMs));
      assertEquals(tokens.length, PROMPT + usage.completionTokens);
      const came = (kind: string) => tokens.filter((token) => token.came === kind).length;
      assertEquals(came("prompt"), PROMPT);
      assertEquals(came("right"), cache.guess.right);
      assertEquals(came("accepted"), cache.guess.accepted);
      assertEquals(came("wrong"), cache.guess.made - cache.guess.right);
      assertEquals(tokens.filter(({ guessed }) => guessed !== undefined).length, came("wrong"));
      assertEquals(tokens.slice(PROMPT).map((token) => token.text).join(""), text);
      assertGreater(steps, 0);
    });
  });
}

test("Engine.observe() changes nothing of what it looks at", async () => {
  await withEngine({}, async (engine) => {
    const unseen = await answer(engine);
    await engine.observe();
    const looking = setInterval(() => engine.observe(), 3);
    const observed = await answer(engine);
    clearInterval(looking);
    assertEquals(observed, unseen);
  });
});

test("Engine.observe() tells which tokens each layer and head read", async () => {
  await withEngine({}, async (engine) => {
    const options = { ids: promptIds, maxTokens: 20, accept: "off" } as const;
    const { last } = await seen(engine, () => engine.generate(options));
    const { reads } = (await engine.observe({ watch: 1 })).watched!;
    const { steps, position, windowFrom, columnTokens, shares, late, most } = reads!;
    assertEquals([last.layers, last.kvHeads], [4, 2]);
    assertEquals([position, windowFrom, columnTokens], [PROMPT + 18, 448, 2]);
    assertEquals([shares.length, late.length], [LISTS * 224, LISTS]);
    const all = most.reduce((total, [, count]) => total + count, 0);
    assertEquals(all, steps * LISTS * K); // fewer tokens are read than may be named
    assert(most.every(([token, count, missing]) => token < windowFrom && missing <= count));
    assert(late.every((share) => share === 255), "rows in RAM are in no slot");
    for (let list = 0; list < LISTS; list++) {
      const { reads } = (await engine.observe({ watch: 1, list })).watched!;
      assertEquals(reads!.most.reduce((total, [, count]) => total + count, 0), steps * K);
      for (const [token] of reads!.most) {
        assertGreater(shares[list * 224 + Math.floor(token / columnTokens)], 0);
      }
    }
  });
});

test("Engine.observe() shows a salt its own requests, and how many others there are", async () => {
  await withEngine({ sequences: 3 }, async (engine) => {
    const ids = textIds(300, 2);
    await engine.observe({ salt: "mine" });
    const begun = Promise.withResolvers<void>();
    const progress = () => begun.resolve();
    const options = { ids, maxTokens: 290 };
    const mine = engine.generate({ ...options, salt: "mine", maxTokens: 280, progress });
    const other = engine.generate({ ...options, salt: "other" });
    await begun.promise;
    const shown = await engine.observe({ salt: "mine" });
    assertEquals(shown.requests.map(({ ticket }) => ticket), [1]);
    assertEquals([shown.others, shown.watched!.ticket], [1, 1]);
    assertEquals((await engine.observe({ salt: "mine", watch: 2 })).watched, null);
    const third = await engine.observe({ salt: "third" });
    assertEquals([third.requests, third.others, third.watched], [[], 2, null]);
    await Promise.all([mine.result, other.result]);
    const after = await engine.observe({ salt: "mine" });
    assertEquals([after.requests.length, after.others, after.watched!.ended], [0, 0, "length"]);
    assertEquals((await engine.observe({ salt: "third" })).watched, null);
  });
});

test("two onlookers watch two requests of one engine", async () => {
  await withEngine({ sequences: 2 }, async (engine) => {
    const steps = [0, 0];
    const look = async () => {
      for (const at of [0, 1]) {
        const { watched } = await engine.observe({ watch: at + 1 });
        steps[at] = Math.max(steps[at], watched?.reads?.steps ?? 0);
      }
    };
    await look();
    const runs = [1, 2].map((seed) =>
      engine.generate({ ids: textIds(300, seed), maxTokens: 60, accept: "off" })
    );
    let running = true;
    const all = Promise.all(runs.map(({ result }) => result)).finally(() => running = false);
    while (running) await look();
    await all;
    await look();
    assertGreater(steps[0], 0);
    assertGreater(steps[1], 0);
  });
});

test("steps that cannot be watched are made, and it is said why", async () => {
  const open = { contextTokens: 600, sequences: 1 };
  await using roomy = await openNeedle(open);
  const { reservedBytes } = await roomy.stats();
  await using tight = await openNeedle({ ...open, nearBytes: reservedBytes });
  const { last, steps } = await seen(tight, () => tight.generate({ ids: promptIds, maxTokens: 9 }));
  assertEquals([steps, last.watched!.ended, last.watched!.reads], [0, "length", null]);
  assert(last.watched!.unwatched!.startsWith("Cannot watch a sequence: "), `${last.watched}`);
});

test("Engine.observe() refuses what is no ticket, and an engine that is closed", async () => {
  const engine = await openNeedle();
  await assertRefused(() => engine.observe({ watch: -1 }), "argument", "watch -1");
  await engine.close();
  await assertRefused(() => engine.observe(), "closed", "it is closed");
});

// An observer of a store whose calls answer what `call` gives, and a step of one text.
function observing(call: () => unknown, quietMs?: number) {
  const settings = { mode: "specache", slots: 0, kMax: 1 };
  const store = { settings, shape: {}, stats: call, watched: call, watch() {} };
  const observer = new Observer(store as unknown as NativeStore, quietMs);
  const state = new DecodeState(1n);
  const running = { ticket: 1, salt: "", session: false, state, maxTokens: 1, started: 0 };
  const options = optionsOf({ k: 1, late: "all" });
  const share = { sequence: 1n, inputs: [1], trusted: 1, options, logits: null };
  const ask = { salt: "" };
  return { observer, state, running, steps: [{ state, share }], ask };
}

test("an observer watches nothing once nobody has asked for a while, 5 seconds", async () => {
  assertEquals(QUIET_MS, 5000);
  const { observer, running, steps, ask } = observing(() => noStats("specache"), 20);
  assertEquals(observer.begin(null, steps), null);
  observer.observe(ask);
  observer.add(running);
  observer.begin(null, steps)!.stepped();
  assertEquals(observer.observe(ask).turns.length, 1);
  await new Promise((quiet) => setTimeout(quiet, 100));
  assertEquals(observer.begin(null, steps), null);
  assertEquals(observer.observe(ask).turns, []);
  observer.stop();
});

test("a store that fails ends what is watched, and no turn fails for it", () => {
  for (const failsAt of [0, 1, 2]) { // a store's calls of a turn: stats before and after, watched
    let calls = 0;
    const { observer, state, running, steps, ask } = observing(() => {
      if (calls++ === failsAt) throw new SpecacheError("device", "Cannot read counters: it failed");
      return noStats("specache");
    });
    observer.observe(ask);
    const ended = observer.add(running);
    const turn = observer.begin(null, steps);
    assertEquals(turn === null, failsAt === 0);
    state.steps++;
    turn?.read();
    turn?.stepped();
    assertEquals(observer.begin(null, steps), null);
    assertEquals(observer.observe(ask).turns, []);
    ended("failed");
    observer.stop();
  }
});

test("ObservedSteps keeps its sums small however long the text is", () => {
  for (const lists of [1, 8, 90, 256, 1024]) {
    for (const position of [1, 127, 128, 192, 300, 70_000, 1_000_000]) {
      const steps = new ObservedSteps();
      const windowFrom = Math.max(0, Math.floor(position / 64) - 1) * 64;
      const counts = new Uint32Array(lists).fill(windowFrom > 0 ? 2 : 0);
      const tokens = new Uint32Array(lists * 3);
      for (let at = 0; at < tokens.length; at += 3) {
        tokens.set(windowFrom > 0 ? [4, windowFrom - 1] : [], at);
      }
      const sources = new Uint8Array(tokens.length).fill(1);
      steps.add(7, { position, counts, tokens, sources });
      const reads = steps.reads(6, null)!;
      assertEquals(steps.reads(7, null), null);
      assertEquals([reads.steps, reads.windowFrom], [1, windowFrom]);
      const columns = reads.shares.length / lists;
      assertLessOrEqual(reads.shares.length, Math.max(24_576, lists));
      assertLessOrEqual(columns, 256);
      assertEquals(columns, Math.ceil(windowFrom / reads.columnTokens));
      const read = windowFrom > 0 ? [[4, lists, lists], [windowFrom - 1, lists, lists]] : [];
      assertEquals(reads.most, read as unknown as typeof reads.most);
    }
  }
});

test("a session that is closed while somebody looks on ends nobody else's request", () =>
  withEngine({ sequences: 2 }, async (engine) => {
    await engine.observe();
    const session = await engine.session();
    const long = session.generate({ ids: promptIds, maxTokens: 99 });
    const other = engine.generate({ ids: promptIds, maxTokens: 60 });
    await Promise.all([long.started, other.started]);
    await engine.observe();
    await session.close();
    assertEquals((await other.result).tokens.length, 60);
    assertEquals((await engine.generate({ ids: promptIds, maxTokens: 3 }).result).stop, "length");
    assert((await engine.observe()).turns.length > 0);
  }));
