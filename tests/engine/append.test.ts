// append() reads a prompt ahead of what asks about it; engine.stats() counts what was read.
import type { Engine, Message, PromptOptions } from "../../mod.ts";
import { assert, assertEquals, assertGreater, assertLess, test } from "../harness.ts";
import {
  answerOf,
  asked,
  assertRefused,
  errorOf,
  FOLLOWING,
  PROMPT,
  promptIds,
  textIds,
  withEngine,
} from "./support.ts";

test("a text appended in parts gives the bits of one prompt", () =>
  withEngine({ far: "file" }, async (engine) => {
    const whole = answerOf(await engine.generate({ ids: promptIds, ...asked }).result);
    await using session = await engine.session();
    for (const [from, to] of [[0, 1], [1, 200], [200, 200], [200, 480]]) {
      await session.append({ ids: promptIds.slice(from, to) });
      assertEquals(session.length, to);
    }
    const rest = session.generate({ ids: promptIds.slice(480), ...asked });
    assertEquals(answerOf(await rest.result), whole);
    await session.append({ prompt: " The code of" });
    assertGreater(session.length, PROMPT + FOLLOWING);
  }));

test("all of a prompt may be appended: the answer is drawn from its logits", () =>
  withEngine({}, async (engine) => {
    const whole = answerOf(await engine.generate({ ids: promptIds, ...asked }).result);
    await using session = await engine.session();
    await session.append({ ids: promptIds });
    const { usage, ...result } = await session.generate(asked).result;
    assertEquals(answerOf({ usage, ...result }), whole);
    assertEquals([usage.promptTokens, usage.cachedTokens], [0, PROMPT]);
  }));

test("turns that were appended are not read again", () =>
  withEngine({
    mode: "full",
    kvType: "f32",
    sequences: 2,
    chatTemplate: "{% for m in messages %}{{ m.role }}:{{ m.content }}\n{% endfor %}" +
      "{% if add_generation_prompt %}assistant:{% endif %}",
  }, async (engine) => {
    const system: Message = { role: "system", content: "The code of amber is 44219." };
    const messages: Message[] = [system, { role: "user", content: "What is it?" }];
    await using session = await engine.session();
    await session.append({ messages: [system] });
    const { length } = session;
    assertEquals(length, engine.tokenizer!.encode(`system:${system.content}\n`, false).length);
    const { usage, tokens } = await session.generate({ messages, maxTokens: 5 }).result;
    assertEquals(usage.cachedTokens, length);
    assertEquals(tokens, (await engine.generate({ messages, maxTokens: 5 }).result).tokens);
  }));

test("an append that is aborted says so, and what is left is read with what comes next", () =>
  withEngine({ contextTokens: 2_000, sequences: 2 }, async (engine) => {
    const ids = textIds(1_600, 2);
    await using session = await engine.session();
    const controller = new AbortController();
    const { signal } = controller;
    const error = await errorOf(() =>
      session.append({ ids, signal, progress: () => controller.abort() })
    );
    assertEquals(error.code, "cancelled");
    assertLess(session.length, 1_600);
    const rest = await session.generate({ maxTokens: 5 }).result;
    assertEquals(rest.tokens, (await engine.generate({ ids, maxTokens: 5 }).result).tokens);
  }));

test("append refuses what is no prompt, and a session that generates or is closed", () =>
  withEngine({}, async (engine) => {
    const session = await engine.session();
    for (
      const [options, sentence] of [
        [{ ids: [1], maxTokens: 5 }, "option maxTokens is not known"],
        [{ ids: [1], prompt: "a" }, "prompt and ids are both given"],
        [{ prompt: 5 }, "prompt 5 is not a string"],
        [{ ids: [-1] }, "ids[0] -1 is below 0"],
        [{ ids: [1_024] }, "Cannot append: id 1024 is not below the vocabulary's 1024"],
        [undefined, "options "],
        ["a text", "options "],
      ] as const
    ) await assertRefused(() => session.append(options as PromptOptions), "argument", sentence);
    assertEquals(session.length, 0);
    const run = session.generate({ ids: promptIds, maxTokens: 2 });
    await assertRefused(() => session.append({ ids: [1] }), "busy", "it is at work");
    await run.result;
    await session.close();
    await assertRefused(() => session.append({ ids: [1] }), "closed", "it is closed");
  }));

async function countsOf(engine: Engine) {
  const { requests, promptTokens, cachedTokens, completionTokens } = await engine.stats();
  return [requests.ended, promptTokens, cachedTokens, completionTokens];
}

test("engine.stats() counts requests and tokens exactly, and what sessions hold", () =>
  withEngine({ sequences: 3, far: "file" }, async (engine) => {
    const empty = await engine.stats();
    assertEquals([empty.sessions, empty.sessionsMax, empty.tokens, empty.nearBytes], [0, 3, 0, 0]);
    const { reservedBytes, farBytes } = engine.plan();
    assertEquals([empty.reservedBytes, empty.farBytes], [reservedBytes, farBytes]);
    await using session = await engine.session();
    await session.append({ ids: promptIds });
    assertEquals(await countsOf(engine), [1, PROMPT, 0, 0]);
    const run = session.generate({ maxTokens: 7 });
    assertEquals((await engine.stats()).running, 1);
    await run.result;
    assertEquals(await countsOf(engine), [2, PROMPT, PROMPT, 7]);
    await using fork = await session.fork();
    const stats = await engine.stats();
    const parts = [await session.stats(), await fork.stats()];
    const sum = (name: "tokens" | "nearBytes" | "fullBytes") => parts[0][name] + parts[1][name];
    assertEquals([stats.sessions, stats.running, stats.tokens], [2, 0, 2 * (PROMPT + 6)]);
    assertEquals([stats.nearBytes, stats.fullBytes], [sum("nearBytes"), sum("fullBytes")]);
    assert(stats.nearBytes <= stats.reservedBytes && stats.prefillMs > 0 && stats.decodeMs > 0);
    const signal = AbortSignal.abort();
    await session.generate({ maxTokens: 7, signal }).result;
    await errorOf(() => session.generate({ maxTokens: 10_000 }).result); // refused: it never ran
    assertEquals((await engine.stats()).requests, { ended: 2, cancelled: 1, failed: 0 });
  }));

test("engine.stats() of a closed engine is refused", async () => {
  let closed: Engine | null = null;
  await withEngine({}, (engine) => Promise.resolve(void (closed = engine)));
  await assertRefused(() => closed!.stats(), "closed", "it is closed");
});
