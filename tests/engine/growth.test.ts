// Requests that take pages as their texts grow: where the pool has none left some are set back, and
// each has the answer that it has alone, bit for bit, and comes to its end.
import type { Engine, GenerateOptions, GenerateResult } from "../../mod.ts";
import { assert, assertEquals, assertGreater, test } from "../harness.ts";
import { answerOf, CONTEXT, type Options, promptIds, textIds, withEngine } from "./support.ts";

// In the middle of a sentence, where the model goes on for long.
const plain = (tokens: number, seed: number) => textIds(300, seed).slice(0, tokens);

/** A pool of one longest text, which is 10 pages, for four. */
const scarce: Options = { sequences: 4, poolTokens: CONTEXT };

/** Each has its prompt's pages and its lead at first, and wants more than that. */
const four: readonly GenerateOptions[] = [1, 2, 3, 4].map((seed) => ({
  ids: plain(20 * seed, seed),
  maxTokens: 400,
  logprobs: 3,
}));

async function alone(asked: readonly GenerateOptions[], { mode }: Options = {}) {
  return await withEngine({ mode }, async (engine) => {
    const results = [];
    for (const each of asked) results.push(told(await engine.generate(each).result));
    return results;
  });
}

function told(result: GenerateResult) {
  return { ...answerOf(result), stop: result.stop, text: result.text };
}

async function assertNothingLeft(engine: Engine, sessions = 0): Promise<void> {
  const { running, waiting, pages, prefixes } = await engine.stats();
  assertEquals([running, waiting], [0, 0]);
  if (prefixes.kept + sessions === 0) assertEquals(pages.free, pages.all);
}

const fourAlone = await alone(four);

// Runs all together, and says how many tokens came into their sequences again.
async function together(
  options: Options,
  asked: readonly GenerateOptions[],
  expected: Awaited<ReturnType<typeof alone>>,
): Promise<number> {
  return await withEngine(options, async (engine) => {
    const runs = await Promise.all(asked.map((each) => engine.generate(each).result));
    for (const [at, run] of runs.entries()) assertEquals(told(run), expected[at], `request ${at}`);
    await assertNothingLeft(engine);
    return (await engine.stats()).recomputedTokens;
  });
}

const engines: readonly (readonly [string, Options])[] = [
  ["mode specache", {}],
  ["mode full", { mode: "full" }],
  ["far in a file, with slots", { far: "file", slots: 24 }],
  ["texts that are kept", { prefixes: 3 }],
  ["generated tokens that are reused", { prefixes: 3, reuse: "generated" }],
  ["audited steps of one input", { guessesMax: 0, audit: 0.5 }],
];

for (const [name, options] of engines) {
  test(`requests that are set back have the bits that they have alone: ${name}`, async () => {
    const expected = options.mode === undefined ? fourAlone : await alone(four, options);
    assertGreater(await together({ ...scarce, ...options }, four, expected), 0);
  });
}

test("sampling, penalties, formats, guesses and stop strings go on where they were", async () => {
  const ways: readonly GenerateOptions[] = [
    { temperature: 1, seed: 7, topP: 0.9 },
    { temperature: 1.2, seed: 8, repetitionPenalty: 1.3, presencePenalty: 0.5 },
    { guesses: 2, accept: "off", temperature: 1, seed: 9 },
    { format: "json", temperature: 1.5, seed: 10 },
    { accept: "on", k: 8 },
    { stop: "zzzz" },
  ];
  const asked = ways.map((way, at) => ({ ...four[at % 4], ...way }));
  assertGreater(await together({ ...scarce, sequences: 6 }, asked, await alone(asked)), 0);
});

test("who leaves out maxTokens runs beside others, and not with the whole context", () =>
  withEngine(scarce, async (engine) => {
    const asked = four.map((each) => ({ ...each, maxTokens: "rest" as const }));
    const runs = asked.map((each) => engine.generate(each));
    for (const run of runs.slice(0, 2)) assert(await run.started);
    const { waiting, running } = await engine.stats();
    assertGreater(running, 1, `${waiting} wait`);
    const results = await Promise.all(runs.map((run) => run.result));
    for (const { stop, tokens } of results) assert(stop === "eos" || tokens.length > 400);
    await assertNothingLeft(engine);
  }));

test("what follows from slots is not set back: it has all its pages from the first", async () => {
  const two = four.slice(2).map((each) => ({ ...each, maxTokens: 400 }));
  const asked = two.map((each) => ({ ...each, late: "none" as const }));
  assertEquals(await together(scarce, asked, await alone(asked)), 0);
  const mode = { ...scarce, mode: "paper" } as const;
  assertEquals(await together(mode, two, await alone(two, mode)), 0);
});

// Runs until the engine has set somebody back.
async function untilSetBack(engine: Engine): Promise<void> {
  while ((await engine.stats()).setBack === 0) await new Promise((tick) => setTimeout(tick, 5));
}

test("who is cancelled while set back ends at once, with the tokens that it had", () =>
  withEngine(scarce, async (engine) => {
    const clients = four.map(() => new AbortController());
    const runs = four.map((each, at) => engine.generate({ ...each, signal: clients[at].signal }));
    await untilSetBack(engine);
    for (const client of clients.slice(1)) client.abort();
    let ended = false;
    runs[0].result.then(() => ended = true);
    await Promise.all(runs.slice(1).map((run) => run.result));
    assertEquals(ended, false);
    const results = await Promise.all(runs.map((run) => run.result));
    const stops = results.map(({ stop }) => stop);
    assertEquals(stops.slice(1), ["cancelled", "cancelled", "cancelled"]);
    assertEquals(results[0].tokens.length, 400);
    for (const [at, { tokens }] of results.entries()) {
      assertEquals(tokens, fourAlone[at].tokens.slice(0, tokens.length));
    }
    await assertNothingLeft(engine);
  }));

test("a session is never set back, and keeps its text while others are", () =>
  withEngine({ ...scarce, sequences: 5, poolTokens: 15 * 64 }, async (engine) => {
    await using session = await engine.session();
    const ids = plain(200, 9);
    const first = session.generate({ ids, maxTokens: 60, logprobs: 3 });
    const runs = four.map((each) => engine.generate(each).result);
    const own = told(await first.result);
    const others = (await Promise.all(runs)).map(told);
    assertGreater((await engine.stats()).setBack, 0);
    assertEquals(others, fourAlone);
    assertEquals([own], await alone([{ ids, maxTokens: 60, logprobs: 3 }]));
    assertEquals(session.length, 200 + 59);
    await assertNothingLeft(engine, 1);
  }));

test("a session's request waits where it would take what the oldest may come to", () =>
  withEngine({ ...scarce, sequences: 3 }, async (engine) => {
    await using session = await engine.session();
    const order: string[] = [];
    const long = engine.generate({ ids: plain(20, 1), maxTokens: 500 }); // 9 of 10 pages
    await long.started;
    const asked = session.generate({ ids: plain(200, 2), maxTokens: 9 }); // 4 pages, 7 are free
    await Promise.all([
      long.result.then(({ tokens }) => order.push(`long ${tokens.length}`)),
      asked.result.then(({ tokens }) => order.push(`session ${tokens.length}`)),
    ]);
    assertEquals(order, ["long 500", "session 9"]);
    assertEquals((await engine.stats()).setBack, 0);
  }));

test("many more than the pool has room for all end, in the order of their turns", async () => {
  const asked = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((seed) => ({
    ids: promptIds.slice(0, 30 + 41 * (seed % 5)),
    maxTokens: 200 + 57 * (seed % 4),
    temperature: 1,
    seed,
    client: `client ${seed % 3}`,
  }));
  assertGreater(
    await together({ ...scarce, sequences: 8, prefixes: 4 }, asked, await alone(asked)),
    0,
  );
});
