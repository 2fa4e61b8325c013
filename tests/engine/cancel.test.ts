// Nothing is lost by stopping: a session that was aborted, in prefill or in decode, goes on as if
// it had not been; what is closed says so, and every promise settles.
// An abort reaches the worker a little later, so requests that are aborted ask for far more than
// comes until then, and how much came is read, not foreseen.
import { setTimeout as sleep } from "node:timers/promises";
import type { Engine, GenerateOptions, GenerateResult, Session } from "../../mod.ts";
import {
  assert,
  assertEquals,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  test,
} from "../harness.ts";
import {
  answer,
  answerOf,
  asked,
  errorOf,
  openNeedle,
  promptIds,
  samplings,
  textIds,
  withEngine,
} from "./support.ts";

const LONG = 1_600; // tokens: prefilled in four pieces
const longIds = textIds(LONG, 2);
const MANY = 500; // tokens asked for by what is aborted
const MORE = 5; // tokens generated after that
const contextTokens = LONG + MANY;

/** Goes on from a cancelled result, and holds both parts against one run that was not cancelled. */
async function assertNothingLost(
  engine: Engine,
  session: Session,
  options: GenerateOptions,
  cut: GenerateResult,
): Promise<void> {
  assertEquals(cut.stop, "cancelled");
  const came = cut.tokens.length;
  const rest = await session.generate({ ...options, ids: undefined, maxTokens: MORE }).result;
  const whole = await engine.generate({ ...options, maxTokens: came + MORE }).result;
  assertEquals([...cut.tokens, ...rest.tokens], whole.tokens);
  assertEquals([...cut.logprobs!, ...rest.logprobs!], whole.logprobs);
}

for (const far of ["ram", "file"] as const) {
  test(`an abort in prefill loses nothing, far in ${far}`, () =>
    withEngine({ far, contextTokens, sequences: 2 }, async (engine) => {
      await using session = await engine.session();
      const options = { ids: longIds, logprobs: 5 };
      const controller = new AbortController();
      const told: (readonly [number, number])[] = [];
      const progress = (done: number, all: number) => {
        told.push([done, all]);
        controller.abort();
      };
      const { signal } = controller;
      const cut = await session.generate({ ...options, progress, signal }).result;
      const [[done, all]] = told;
      assert(done < all && all === LONG, `${done} of ${all}`);
      assert(session.length >= done && session.length < all, `${session.length} held`);
      assertEquals(cut.tokens.length, 0);
      await assertNothingLost(engine, session, options, cut);
    }));

  test(`an abort after the third piece loses nothing, far in ${far}`, () =>
    withEngine({ far, contextTokens, sequences: 2 }, async (engine) => {
      await using session = await engine.session();
      const options = { ids: promptIds, logprobs: 5, ...samplings.sampled };
      const controller = new AbortController();
      const { signal } = controller;
      const generation = session.generate({ ...options, maxTokens: MANY, signal });
      let pieces = 0;
      for await (const _ of generation) if (++pieces === 3) controller.abort();
      const cut = await generation.result;
      assertEquals(cut.usage.completionTokens, pieces);
      await assertNothingLost(engine, session, options, cut);
    }));

  test(`leaving the pieces early loses nothing, far in ${far}`, () =>
    withEngine({ far, contextTokens, sequences: 2 }, async (engine) => {
      await using session = await engine.session();
      const options = { ids: promptIds, logprobs: 5 };
      const generation = session.generate({ ...options, maxTokens: MANY });
      for await (const _ of generation) break;
      // The generation has ended when the loop has, so the session is not busy.
      await assertNothingLost(engine, session, options, await generation.result);
    }));
}

test("a prompt that was aborted is read before the next one, and truncate forgets it", () =>
  withEngine({ sequences: 2 }, async (engine) => {
    const whole = await answer(engine);
    const signal = AbortSignal.abort();
    await using session = await engine.session();
    await session.generate({ ids: promptIds.slice(0, 200), signal }).result;
    const rest = await session.generate({ ids: promptIds.slice(200), ...asked }).result;
    assertEquals(answerOf(rest), whole);
    await session.generate({ ids: longIds.slice(0, 50), maxTokens: 1, signal }).result;
    await session.truncate(0);
    assertEquals(answerOf(await session.generate({ ids: promptIds, ...asked }).result), whole);
  }));

test("a signal that is aborted already generates nothing and loses nothing", () =>
  withEngine({}, async (engine) => {
    const whole = await answer(engine);
    await using session = await engine.session();
    const signal = AbortSignal.abort();
    const cut = await session.generate({ ...asked, ids: promptIds, signal }).result;
    assertEquals([cut.stop, cut.tokens.length, session.length], ["cancelled", 0, 0]);
    assertEquals(answerOf(await session.generate(asked).result), whole);
  }));

test("a signal that is aborted after the end changes nothing", () =>
  withEngine({}, async (engine) => {
    const controller = new AbortController();
    const whole = await answer(engine, { signal: controller.signal });
    controller.abort();
    assertEquals(await answer(engine), whole);
  }));

test("pieces can be read after the end, and twice", () =>
  withEngine({}, async (engine) => {
    const generation = engine.generate({ ids: promptIds, ...asked });
    const { tokens, text } = await generation.result;
    for (let time = 0; time < 2; time++) {
      const pieces = await Array.fromAsync(generation);
      assertEquals(pieces.map(({ id }) => id), [...tokens]);
      assertEquals(pieces.map(({ text }) => text).join(""), text);
    }
  }));

test("a session that is generating is busy for all else and is not disturbed", () =>
  withEngine({ sequences: 2 }, async (engine) => {
    const whole = await answer(engine);
    await using session = await engine.session();
    const running = session.generate({ ...asked, ids: promptIds });
    const meanwhile: Record<string, () => unknown> = {
      generate: () => session.generate({ ids: [1] }).result,
      fork: () => session.fork(),
      truncate: () => session.truncate(0),
    };
    for (const [name, call] of Object.entries(meanwhile)) {
      assertEquals((await errorOf(call)).code, "busy", name);
    }
    assertEquals((await session.stats()).mode, "specache"); // what it holds can be asked any time
    assertEquals(answerOf(await running.result), whole);
    assertNotEquals((await session.stats()).tokens, 0);
  }));

test("two sessions at once give what each gives alone", () =>
  withEngine({ far: "file", sequences: 2, guessesMax: 2 }, async (engine) => {
    const alone = [await answer(engine), await answer(engine, samplings.sampled)];
    const together = await Promise.all([
      answer(engine, { guesses: 2 }),
      answer(engine, { ...samplings.sampled, guesses: 1 }),
    ]);
    assertEquals(together, alone);
  }));

test("aborting one of two sessions does not disturb the other", () =>
  withEngine({ sequences: 2 }, async (engine) => {
    const whole = await answer(engine);
    const controller = new AbortController();
    const one = engine.generate({ ids: promptIds, maxTokens: 90, signal: controller.signal });
    const other = answer(engine);
    for await (const _ of one) controller.abort();
    assertEquals((await one.result).stop, "cancelled");
    assertEquals(await other, whole);
  }));

test("a closed session refuses all but closing, and gives its place back", () =>
  withEngine({}, async (engine) => {
    const session = await engine.session();
    await session.generate({ ids: promptIds, maxTokens: 1 }).result;
    await session.close();
    await session.close();
    const calls: Record<string, () => unknown> = {
      generate: () => session.generate({ ids: [1] }).result,
      fork: () => session.fork(),
      truncate: () => session.truncate(0),
      stats: () => session.stats(),
    };
    for (const [name, call] of Object.entries(calls)) {
      assertEquals((await errorOf(call)).code, "closed", name);
    }
    await using next = await engine.session(); // the only place there is
    assertEquals(next.length, 0);
  }));

test("closing a session ends what it generates with an error, and other sessions go on", () =>
  withEngine({ sequences: 2 }, async (engine) => {
    const whole = await answer(engine);
    const session = await engine.session();
    const running = session.generate({ ids: promptIds, maxTokens: 90 });
    const other = answer(engine);
    for await (const _ of running) {
      await session.close();
      break;
    }
    assertEquals((await errorOf(() => running.result)).code, "closed");
    assertEquals(await other, whole);
  }));

test("a progress callback that throws fails its own generation alone", () =>
  withEngine({}, async (engine) => {
    const whole = await answer(engine);
    await using session = await engine.session();
    const fault = new Error("told too much");
    const progress = () => {
      throw fault;
    };
    const { result } = session.generate({ ...asked, ids: promptIds, progress });
    assertStrictEquals(await assertRejects(() => result), fault);
    await session.truncate(0);
    assertEquals(answerOf(await session.generate({ ...asked, ids: promptIds }).result), whole);
  }));

test("a closed engine refuses all but closing, by its sessions too", async () => {
  const engine = await openNeedle();
  const session = await engine.session();
  await engine.close();
  await engine.close();
  await session.close();
  const calls: Record<string, () => unknown> = {
    session: () => engine.session(),
    generate: () => engine.generate({ ids: [1] }).result,
    "generate in a session": () => session.generate({ ids: [1] }).result,
    "stats of a session": () => session.stats(),
  };
  for (const [name, call] of Object.entries(calls)) {
    assertEquals((await errorOf(call)).code, "closed", name);
  }
});

/** Closes an engine `waitMs` after generations began; their errors' codes, or how they stopped. */
async function closeBusy(waitMs: number, more: GenerateOptions = {}): Promise<string[]> {
  const engine: Engine = await openNeedle({ contextTokens: 4_000, sequences: 3 });
  const session = await engine.session();
  const ids = textIds(3_000, 3);
  const running = [
    session.generate({ ids, maxTokens: 900 }),
    engine.generate({ ids, maxTokens: 900 }),
    engine.generate({ ids: promptIds, maxTokens: 900, ...more }),
  ];
  const results = Promise.allSettled([
    ...running.map(({ result }) => result),
    Array.fromAsync(running[2]),
  ]);
  await sleep(waitMs);
  await engine.close();
  return (await results).map((each) =>
    each.status === "rejected" ? String(each.reason?.code ?? each.reason) : each.status
  );
}

for (const waitMs of [0, 150]) {
  test(`closing an engine ${waitMs} ms into generations ends each with code closed`, async () => {
    assertEquals(await closeBusy(waitMs), ["closed", "closed", "closed", "closed"]);
  });
}

// Each token of it waits for a verdict, which may come when nobody answers any more.
test("closing an engine ends a generation that looks for a string", async () => {
  const codes = await closeBusy(150, { stop: "no text has this" });
  assertEquals(codes, ["closed", "closed", "closed", "closed"]);
});
