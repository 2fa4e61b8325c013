// Stop strings: the text ends before the first of them, however tokens cut it, and nothing of it
// is told; the session stands behind the token that completed it, whatever guesses ran.
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { StopFilter } from "../../engine/stop.ts";
import { Engine, type GenerateOptions } from "../../mod.ts";
import { Draws } from "../../eval/draws.ts";
import { needleModel } from "../../eval/source.ts";
import { assert, assertEquals, assertGreater, test } from "../harness.ts";
import { goldenPath } from "../parity/golden.ts";
import { assertRefused, promptIds, withEngine, withFolder } from "./support.ts";

function given(stops: readonly string[], texts: readonly string[]) {
  const filter = new StopFilter<{ text: string }>(stops);
  const told: string[] = [];
  for (const text of texts) {
    told.push(filter.push({ text }).map(({ text }) => text).join("|"));
    if (filter.stopped) return { told, stopped: true };
  }
  told.push(filter.end().map(({ text }) => text).join("|"));
  return { told, stopped: false };
}

test("pieces wait while their end may begin a stop string, and come when it does not", () => {
  assertEquals(given(["abc"], ["xa", "b", "d", "a"]).told, ["", "", "xa|b|d", "", "a"]);
  assertEquals(given(["abc"], ["xa", "b", "cd"]), { told: ["", "", "x||"], stopped: true });
  assertEquals(given(["aab"], ["a", "a", "a", "b"]), { told: ["", "", "a", "||"], stopped: true });
  assertEquals(given(["\n\n"], ["a\n", "", "b"]).told, ["", "", "a\n||b", ""]);
  assertEquals(given([], ["a", "", "b"]).told, ["a", "", "b", ""]);
});

test("of several stop strings the one that is complete first counts, then the longer", () => {
  assertEquals(given(["abcd", "c"], ["xabcd"]).told, ["xab"]);
  assertEquals(given(["cd", "abcd"], ["xabcd"]).told, ["x"]);
  assertEquals(given(["b", "ab"], ["xa", "b"]).told, ["", "x|"]);
});

// Where the text ends, read character by character.
function plainEnd(text: string, stops: readonly string[]): number | null {
  for (let end = 1; end <= text.length; end++) {
    const hit = stops.filter((stop) => text.slice(0, end).endsWith(stop));
    if (hit.length > 0) return end - Math.max(...hit.map(({ length }) => length));
  }
  return null;
}

test("any cut of any text is told as if it had come character by character", () => {
  const draws = new Draws(1);
  const word = (most: number) =>
    Array.from({ length: 1 + draws.below(most) }, () => "ab"[draws.below(2)]).join("");
  let stops = 0;
  for (let round = 0; round < 2_000; round++) {
    const strings = Array.from({ length: 1 + draws.below(3) }, () => word(5));
    const texts = Array.from({ length: 8 }, () => draws.below(4) === 0 ? "" : word(3));
    const { told, stopped } = given(strings, texts);
    const end = plainEnd(texts.join(""), strings);
    assertEquals(stopped, end !== null);
    const whole = told.join("").replaceAll("|", "");
    assertEquals(whole, texts.join("").slice(0, end ?? undefined), `${strings} in ${texts}`);
    if (stopped) stops++;
  }
  assertGreater(stops, 500);
});

test("a model without a tokenizer refuses stop strings", async () => {
  await using engine = await Engine.open({ model: goldenPath("llama-plain"), contextTokens: 64 });
  const generate = () => engine.generate({ ids: [5], stop: "a" });
  await assertRefused(generate, "unsupported", "has no tokenizer, so stop strings never come");
});

const repeated = [...promptIds.slice(0, 40), ...promptIds.slice(0, 40), ...promptIds.slice(0, 30)];
const maxTokens = 40;

async function told(engine: Engine, options: GenerateOptions) {
  await using session = await engine.session();
  const run = session.generate({ ids: repeated, maxTokens, logprobs: 2, ...options });
  const heard: string[] = [];
  for await (const { text } of run) heard.push(text);
  const { text, tokens, stop, tokenLogprobs, logprobs } = await run.result;
  assertEquals(heard.join(""), text);
  assertEquals([heard.length, logprobs!.length], [tokens.length, tokens.length]);
  const { length } = session;
  const rest = await session.generate({ maxTokens: 6, ...options, stop: [] }).result;
  return { text, tokens, stop, tokenLogprobs, length, rest: rest.tokens };
}

for (const engineOptions of [{ mode: "full" }, { far: "file", slots: 24 }] as const) {
  test(`a stop string may span tokens, accepted ones too, ${JSON.stringify(engineOptions)}`, () =>
    withEngine(engineOptions, async (engine) => {
      const whole = await told(engine, { accept: "off", guesses: 0 });
      const texts = whole.tokens.map((id) => engine.tokenizer!.decode([id]));
      for (const at of [0, 1, 9, 14, 15, 16, 23]) {
        // The end of a token's text and the beginning of the next one's.
        const stop = texts[at].slice(-1) + texts[at + 1].slice(0, 1);
        const start = whole.text.indexOf(stop);
        const plain = await told(engine, { stop, accept: "off", guesses: 0 });
        assertEquals([plain.stop, plain.text], ["stop", whole.text.slice(0, start)]);
        assertEquals(plain.tokens, whole.tokens.slice(0, plain.tokens.length));
        assertEquals(plain.length, repeated.length + plain.tokens.length - 1);
        const after = whole.tokens.slice(plain.tokens.length).slice(0, 6);
        assertEquals(plain.rest.slice(0, after.length), after);
        for (const options of [{ accept: "on" }, { guesses: 2 }] as const) {
          assertEquals(await told(engine, { stop, ...options }), plain, stop);
        }
      }
    }));
}

test("a stop string before the model's end wins, though one step brought both", () =>
  withFolder(async (folder) => {
    cpSync(needleModel, folder, { recursive: true });
    const path = join(folder, "config.json");
    const config = JSON.parse(readFileSync(path, "utf8"));
    const { tokens } = await withEngine({ mode: "full" }, (engine) => told(engine, {}));
    for (const at of [8, 9, 10, 11]) {
      const end = tokens.indexOf(tokens[at + 1]); // where the model ends from now on
      writeFileSync(path, JSON.stringify({ ...config, eos_token_id: tokens[end] }));
      await withEngine({ mode: "full", model: folder }, async (engine) => {
        const stop = engine.tokenizer!.decode(tokens.slice(end - 1, end));
        const plain = await told(engine, { stop, accept: "off", guesses: 0 });
        assertEquals(plain.stop, "stop");
        assertEquals(await told(engine, { stop, accept: "on" }), plain);
      });
    }
  }));

test("text that only began a stop string is told, also where the generation ends", () =>
  withEngine({ mode: "full" }, async (engine) => {
    const whole = await told(engine, {});
    for (const stop of [[`${whole.text.slice(-5)}never`], [whole.text.slice(3, 9) + "\0", "\0"]]) {
      const given = await told(engine, { stop });
      assertEquals([given.text, given.stop], [whole.text, "length"]);
    }
    const last = whole.text.slice(-2);
    const first = whole.text.indexOf(last);
    const given = await told(engine, { stop: last });
    assertEquals([given.text, given.stop], [whole.text.slice(0, first), "stop"]);
  }));

test("a cancelled request with stop strings ends and goes on as if it had not been", () =>
  withEngine({ mode: "full" }, async (engine) => {
    const whole = await told(engine, {});
    await using session = await engine.session();
    const controller = new AbortController();
    const run = session.generate({
      ids: repeated,
      maxTokens,
      stop: "\0",
      signal: controller.signal,
    });
    const first = await run[Symbol.asyncIterator]().next();
    controller.abort();
    const { stop, tokens } = await run.result;
    assert(!first.done && stop === "cancelled");
    const rest = await session.generate({ maxTokens: 5 }).result;
    assertEquals([...tokens, ...rest.tokens], whole.tokens.slice(0, tokens.length + 5));
  }));

test("two sessions that stop at the same time stop each at its own place", () =>
  withEngine({ mode: "full", sequences: 2 }, async (engine) => {
    const whole = await told(engine, {});
    const stops = [whole.text.slice(12, 15), whole.text.slice(20, 22)];
    const results = await Promise.all(
      stops.map((stop) => engine.generate({ ids: repeated, maxTokens, stop }).result),
    );
    results.forEach(({ text }, at) =>
      assertEquals(text, whole.text.slice(0, whole.text.indexOf(stops[at])))
    );
  }));

test("stop refuses what is no string, an empty one, half a character, and too many", () =>
  withEngine({}, async (engine) => {
    for (
      const [stop, sentence] of [
        [5, "stop 5 is neither a string nor a list of at most 16 strings"],
        ["", 'stop "" is empty'],
        [["a", ""], 'stop[1] "" is empty'],
        [[null], "stop[0] null is not a string"],
        ["\ud83d", "holds half a character"],
        [Array(17).fill("a"), "nor a list of at most 16 strings"],
        ["a".repeat(1_001), "is longer than 1000 characters"],
      ] as const
    ) {
      const options = { ids: repeated, stop } as GenerateOptions;
      await assertRefused(() => engine.generate(options), "argument", sentence);
    }
  }));
