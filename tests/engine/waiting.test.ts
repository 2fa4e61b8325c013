// More requests than run at a time: they wait, client by client, and each has the answer that it
// has alone; who gives up while it waits costs nobody anything; what never has room is told so.
import { assert, assertEquals, assertRejects, test } from "../harness.ts";
import { type Engine, type Session, SpecacheError } from "../../mod.ts";
import {
  answer,
  asked,
  assertRefused,
  CONTEXT,
  PROMPT,
  promptIds,
  textIds,
  withEngine,
} from "./support.ts";

// A request that runs until it is disposed of, however long a machine stands still.
function runsOn(
  engine: Engine | Session,
  maxTokens: number | "rest" = "rest",
): AsyncDisposable & { readonly started: Promise<boolean> } {
  const end = new AbortController();
  const { signal } = end;
  const { started, result } = engine.generate({ ids: promptIds, maxTokens, signal });
  return {
    started,
    async [Symbol.asyncDispose]() {
      end.abort();
      assertEquals((await result).stop, "cancelled");
    },
  };
}

// Room for what runs on: many thousand steps.
const LONG = { contextTokens: 16_384, poolTokens: 16_384 };

const chatTemplate = "{% for m in messages %}{{ m.content }}{% endfor %}";
const texts = [1, 2, 3, 4, 5, 6, 7].map((seed) => textIds(60 + 50 * seed, seed));

test("requests that run together have the answers that they have alone", async () => {
  const alone = await withEngine({}, async (engine) => {
    const results = [];
    for (const ids of texts) results.push(await engine.generate({ ids, ...asked }).result);
    return results;
  });
  await withEngine({ sequences: 3 }, async (engine) => {
    const runs = texts.map((ids) => engine.generate({ ids, ...asked }));
    const stats = await engine.stats();
    assertEquals([stats.running, stats.waiting], [3, 4]);
    for (const [at, run] of runs.entries()) {
      const { tokens, logprobs, stop } = await run.result;
      const expected = alone[at];
      assertEquals([tokens, logprobs, stop], [expected.tokens, expected.logprobs, expected.stop]);
    }
    const after = await engine.stats();
    assertEquals([after.running, after.waiting, after.tokens], [0, 0, 0]);
    assertEquals(after.pages.free, after.pages.all);
  });
});

test("a client with many requests does not keep another waiting for all of them", () =>
  withEngine({ sequences: 1 }, async (engine) => {
    const order: string[] = [];
    const run = async (name: string, client: string) => {
      await engine.generate({ ids: texts[0], maxTokens: 3, client }).result;
      order.push(name);
    };
    await Promise.all([
      ...[1, 2, 3, 4].map((at) => run(`many ${at}`, "many")),
      run("few", "few"),
    ]);
    assert(order.indexOf("few") <= 2, order.join());
  }));

test("who gives up while it waits ends at once, and has not started", () =>
  withEngine({ ...LONG, sequences: 1 }, async (engine) => {
    const client = new AbortController();
    await using long = runsOn(engine);
    const waits = engine.generate({ ids: promptIds, maxTokens: 9, signal: client.signal });
    assertEquals(await long.started, true);
    client.abort();
    const { stop, tokens } = await waits.result;
    assertEquals([await waits.started, stop, tokens], [false, "cancelled", []]);
    assertEquals((await engine.stats()).running, 1);
  }));

test("a queue that is full refuses the next request with both numbers", () =>
  withEngine({ ...LONG, sequences: 1, queue: 1 }, async (engine) => {
    const long = runsOn(engine);
    await long.started;
    const waits = engine.generate({ ids: promptIds, maxTokens: 30 });
    const refused = engine.generate({ ids: promptIds, maxTokens: 9 });
    const error = await assertRejects(() => refused.result, SpecacheError, "1 requests wait");
    assertEquals([error.code, error.details.queue], ["busy", 1]);
    await assertRejects(() => refused.started, SpecacheError);
    await long[Symbol.asyncDispose]();
    assertEquals((await waits.result).tokens.length, 30);
  }));

test("sessions take places, and what they leave no room for is told so, not kept waiting", () =>
  withEngine({ sequences: 2 }, async (engine) => {
    const sessions = [await engine.session(), await engine.session()];
    const refused = { code: "capacity", text: "2 sequences are open, sequences is 2" } as const;
    const ids = texts[0];
    await assertRefused(() => engine.generate({ ids }).result, refused.code, refused.text);
    await assertRefused(() => engine.session(), refused.code, refused.text);
    await assertRefused(() => sessions[0].fork(), refused.code, refused.text);
    const waits = sessions[0].generate({ ids, ...asked }).result;
    await sessions[1].close();
    assertEquals((await answer(engine, { ids })).tokens, (await waits).tokens);
  }));

test("a pool that sessions have filled refuses, and what was truncated makes room", () =>
  withEngine({ sequences: 2, poolTokens: CONTEXT }, async (engine) => {
    await using session = await engine.session();
    await session.append({ ids: promptIds });
    const ask = () => engine.generate({ ids: texts[6], maxTokens: 5 }).result;
    await assertRefused(ask, "capacity", "need more pages than the 10 of the pool leave");
    await session.truncate(100);
    assertEquals((await ask()).tokens.length, 5);
  }));

test("who has to wait anyhow takes nothing of the texts that are kept", () =>
  withEngine({ ...LONG, sequences: 3, prefixes: 1 }, async (engine) => { // 256 pages
    await engine.generate({ ids: textIds(330, 2), maxTokens: 1 }).result; // keeps 5
    await using session = await engine.session(); // which has all its pages at first
    await using long = runsOn(session, 15_000); // 242
    await long.started;
    const client = new AbortController();
    const { signal } = client;
    const waits = engine.generate({ ids: textIds(400, 3), maxTokens: 900, signal }); // 20
    const { waiting, prefixes } = await engine.stats();
    assertEquals([waiting, prefixes.kept, prefixes.evictedPages], [1, 1, 0]);
    client.abort();
    assertEquals((await waits.result).stop, "cancelled");
  }));

test("a session that is closed while it generates gives its pages to who waits", () =>
  withEngine({ ...LONG, sequences: 2 }, async (engine) => {
    const session = await engine.session();
    const long = session.generate({ ids: promptIds, maxTokens: "rest" });
    await long.started;
    const waits = engine.generate({ ids: promptIds, maxTokens: 9 });
    await session.close();
    assertEquals((await waits.result).tokens.length, 9);
    await assertRefused(() => long.result, "closed", "the session: it is closed");
  }));

test("`rest` is all that the context has room for: the last token is in no sequence", () =>
  withEngine({}, async (engine) => {
    const rest = { maxTokens: "rest" } as const;
    const answerTo = async (tokens: number) =>
      (await engine.generate({ ids: textIds(tokens), ...rest }).result).tokens.length;
    const { tokens, stop } = await engine.generate({ ids: promptIds, ...rest }).result;
    assert(stop === "length" ? tokens.length === CONTEXT + 1 - PROMPT : stop === "eos");
    assertEquals([await answerTo(CONTEXT - 1), await answerTo(CONTEXT)], [2, 1]);
    const over = engine.generate({ ids: textIds(CONTEXT + 1), ...rest }).result;
    await assertRefused(() => over, "capacity", "and an answer are above contextTokens 600");
  }));

test("a signal that is aborted already does not wait, and takes no place in a queue", () =>
  withEngine({ ...LONG, sequences: 1, queue: 0 }, async (engine) => {
    await using long = runsOn(engine);
    await long.started;
    const signal = AbortSignal.abort();
    const { stop } = await engine.generate({ ids: promptIds, maxTokens: 9, signal }).result;
    assertEquals([stop, (await engine.stats()).running], ["cancelled", 1]);
  }));

test("a session that is closed while its request waits tells it at once", () =>
  withEngine({ ...LONG, sequences: 2 }, async (engine) => {
    await using long = runsOn(engine);
    await long.started;
    const session = await engine.session();
    const waits = session.generate({ ids: promptIds, maxTokens: 99 });
    await session.close();
    await assertRefused(() => waits.result, "closed", "the session: it is closed");
    assertEquals((await engine.stats()).running, 1);
  }));

test("a conversation that shares pages with a fork is let in when there are pages for it", () =>
  withEngine({ sequences: 3, poolTokens: 18 * 64, chatTemplate }, async (engine) => {
    await using session = await engine.session();
    await session.append({ ids: promptIds });
    await using _fork = await session.fork(); // 7 pages are shared, and an eighth is begun
    const beside = engine.generate({ ids: promptIds.slice(0, 70), maxTokens: 520 }); // 10 pages
    await beside.started;
    // It begins otherwise, so of its 8 pages only the one that is not shared comes free; it wants
    // 4, and there are 18 - 8 - 10 = 0.
    const content = engine.tokenizer!.decode(textIds(200, 3));
    const run = session.generate({ messages: [{ role: "user", content }], maxTokens: 20 });
    assertEquals((await run.result).usage.cachedTokens, 0);
    assertEquals((await beside.result).tokens.length, 520);
  }));

test("one who asks for its verdict does not keep others waiting for it", () =>
  withEngine({ sequences: 2 }, async (engine) => {
    const judged = engine.generate({ ids: promptIds, maxTokens: 40, stop: "zzzz" });
    const plain = engine.generate({ ids: promptIds, maxTokens: 40 });
    const [one, two] = await Promise.all([judged.result, plain.result]);
    assertEquals(one.tokens, two.tokens);
  }));
