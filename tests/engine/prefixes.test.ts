// A prompt that begins as an earlier one did reads only the rest, and its answer is that of a cold
// run, token for token; texts under two salts share nothing; what is used least leaves first.
import { closeSync, fstatSync, openSync, readdirSync, readlinkSync, writeSync } from "node:fs";
import type { Engine, GenerateOptions, GenerateResult } from "../../mod.ts";
import { assert, assertEquals, assertLess, test } from "../harness.ts";
import { CONTEXT, openNeedle, type Options, textIds, withEngine } from "./support.ts";

const PAGE = 64;
const ids = textIds(500);
const other = textIds(500, 2);
const asked = { maxTokens: 12, logprobs: 3 } as const;
const kept = { sequences: 8, prefixes: 8 } as const; // pages of 8 texts

async function generate(engine: Engine, options: GenerateOptions): Promise<GenerateResult> {
  return await engine.generate({ ...asked, ...options }).result;
}

async function cold(options: Options, request: GenerateOptions): Promise<GenerateResult> {
  return await withEngine(options, (engine) => generate(engine, request));
}

const modes: readonly Options[] = [
  { mode: "full" },
  { mode: "paper" },
  { mode: "specache" },
  { mode: "specache", far: "file" },
];
for (const options of modes) {
  test(`a prompt with a known beginning has a cold run's answer, ${JSON.stringify(options)}`, () =>
    withEngine({ ...options, ...kept }, async (engine) => {
      await generate(engine, { ids });
      for (const common of [PAGE, 100, 129, 300, 499, 500]) {
        const request = { ids: [...ids.slice(0, common), ...other.slice(0, 40)] };
        const warm = await generate(engine, request);
        const expected = await cold(options, request);
        assertEquals([warm.tokens, warm.logprobs], [expected.tokens, expected.logprobs]);
        assert(warm.usage.cachedTokens >= common, `${warm.usage.cachedTokens} of ${common}`);
        assertEquals(warm.usage.cachedTokens + warm.usage.promptTokens, request.ids.length);
        assertEquals(warm.usage.cachedGeneratedTokens, 0);
      }
      const same = await generate(engine, { ids });
      assertEquals(same.usage, {
        ...{ promptTokens: 1, completionTokens: 12, cachedTokens: 499, cachedGeneratedTokens: 0 },
      });
    }));
}

test("fewer common tokens than a page are read anew, and so is another's text", () =>
  withEngine(kept, async (engine) => {
    await generate(engine, { ids, salt: "one" });
    const cut = { ids: [...ids.slice(0, PAGE - 1), ...other], salt: "one" };
    assertEquals((await generate(engine, cut)).usage.cachedTokens, 0);
    assertEquals((await generate(engine, { ids, salt: "two" })).usage.cachedTokens, 0);
    assertEquals((await generate(engine, { ids })).usage.cachedTokens, 0);
    assertEquals((await generate(engine, { ids, salt: "two" })).usage.cachedTokens, 499);
    assertEquals((await engine.stats()).prefixes, {
      ...{ kept: 4, hits: 1, misses: 4, evictedPages: 0 },
    });
  }));

test("generated tokens are reused only where that is asked for, and counted apart", async () => {
  for (
    const [reuse, cached, generated] of [
      ["none", 0, 0],
      ["prompt", 500, 0],
      ["generated", 511, 11],
    ] as const
  ) {
    await withEngine({ ...kept, reuse }, async (engine) => {
      const { tokens } = await generate(engine, { ids });
      const { usage } = await generate(engine, { ids: [...ids, ...tokens, ...other.slice(0, 9)] });
      assertEquals([usage.cachedTokens, usage.cachedGeneratedTokens], [cached, generated]);
      // Reads of the second prompt behind generated tokens saw those: they are no prompt of a cold
      // run, and count as what they are.
      const again = [...ids, ...tokens, ...other.slice(0, 8), other[8] + 1];
      const { cachedGeneratedTokens } = (await generate(engine, { ids: again })).usage;
      assertEquals(cachedGeneratedTokens, generated);
      const stats = await engine.stats();
      assertEquals(stats.cachedGeneratedTokens, 2 * generated);
    });
  }
});

test("requests at once share what one of them has read already", () =>
  withEngine(kept, async (engine) => {
    const running = engine.generate({ ...asked, ids, maxTokens: 90 });
    const pieces = running[Symbol.asyncIterator]();
    await pieces.next();
    const beside = await generate(engine, { ids });
    assertEquals(beside.usage.cachedTokens, 499);
    const whole = await running.result;
    assertEquals(whole.tokens.slice(0, 12), beside.tokens);
  }));

test("a request that was cancelled leaves what it has read", () =>
  withEngine(kept, async (engine) => {
    const client = new AbortController();
    const run = engine.generate({ ...asked, ids, signal: client.signal, maxTokens: 99 });
    for await (const _ of run) client.abort();
    assertEquals((await run.result).stop, "cancelled");
    assertEquals((await generate(engine, { ids })).usage.cachedTokens, 499);
  }));

test("texts leave by their last use, ends first, when pages are wanted", async () => {
  const pages = Math.ceil(CONTEXT / PAGE); // 10 of a text; texts of 256 tokens take 4 or 5
  const options = { sequences: 1, prefixes: 8, poolTokens: CONTEXT, contextTokens: CONTEXT };
  await withEngine(options, async (engine) => {
    const [one, two, three] = [1, 2, 3].map((seed) => textIds(255, seed));
    const cachedOf = async (ids: readonly number[]) =>
      (await generate(engine, { ids: [...ids, 7], maxTokens: 1 })).usage.cachedTokens;
    await cachedOf(one);
    await cachedOf(two);
    assertEquals((await engine.stats()).prefixes.kept, 2);
    await cachedOf(one); // two is the one used least recently now
    await cachedOf(three);
    const { prefixes, pages: pool } = await engine.stats();
    assertEquals([prefixes.evictedPages > 0, pool.all], [true, pages]);
    assertEquals(await cachedOf(one), 255);
    assertEquals(await cachedOf(two), 0);
    // A text as long as the context takes all pages, and gives them back.
    assertEquals((await generate(engine, { ids: textIds(CONTEXT - 12, 4) })).tokens.length, 12);
    assertLess((await engine.stats()).pages.free, pages);
  });
});

test("an engine that keeps texts has the memory of one that does not, but for places", async () => {
  const [with8, without] = await Promise.all([
    openNeedle({ sequences: 2, prefixes: 8 }),
    openNeedle({ sequences: 2 }),
  ]);
  await using _both = { [Symbol.asyncDispose]: () => with8.close().then(() => without.close()) };
  assertEquals(with8.plan().farBytes, without.plan().farBytes);
  const { parts } = without.plan();
  const place = parts.sinks + parts.window + parts.slots + parts.tables;
  const grown = with8.plan().reservedBytes - without.plan().reservedBytes;
  assertLess(grown, 9 * place + parts.work);
});

test("a text whose far pages are spoilt is read anew, and costs nobody else a place", () =>
  withEngine({ sequences: 2, prefixes: 3, far: "file" }, async (engine) => {
    await generate(engine, { ids });
    spoilFarFile();
    const begins = [...ids.slice(0, 300), ...other.slice(0, 50)];
    const { tokens } = await cold({ far: "file" }, { ids: begins });
    for (let at = 0; at < 6; at++) {
      const warm = await generate(engine, { ids: begins });
      assertEquals(warm.tokens, tokens);
      assertEquals(warm.usage.cachedTokens, at === 0 ? 0 : begins.length - 1);
    }
  }));

// Overwrites what this process has of far files, which have no name any more.
function spoilFarFile(): void {
  const folder = "/proc/self/fd";
  const open = readdirSync(folder).filter((name) => {
    try {
      return /specache-.*far/.test(readlinkSync(`${folder}/${name}`));
    } catch {
      return false; // the one that lists the folder
    }
  });
  assertEquals(open.length, 1);
  const file = openSync(`${folder}/${open[0]}`, "r+");
  const junk = new Uint8Array(fstatSync(file).size).fill(0x5a);
  writeSync(file, junk, 0, junk.length, 0);
  closeSync(file);
}
