// Guesses that the text gives: what a lookup finds, how many inputs pay, and that accepting them
// changes no token.
import { AcceptPolicy } from "../../engine/accept.ts";
import { Lookup, MATCH } from "../../engine/lookup.ts";
import type { Engine, GenerateOptions } from "../../mod.ts";
import { assert, assertEquals, assertGreater, assertLessOrEqual, test } from "../harness.ts";
import { answerOf, assertRefused, type Options, promptIds, withEngine } from "./support.ts";

// The longest earlier copy, the newest of equal ones, by looking at every place.
function plainly(ids: readonly number[], count: number): number[] {
  let best = -1, longest = MATCH - 1;
  for (let place = ids.length - 1; place >= MATCH; place--) {
    let length = 0;
    const same = () => ids[place - 1 - length] === ids[ids.length - 1 - length];
    while (length < place && length < 64 && same()) length++;
    if (length > longest) [best, longest] = [place, length];
  }
  return best === -1 ? [] : ids.slice(best, best + count);
}

test("a lookup gives what a search of every place gives, in texts that grow and are cut", () => {
  let state = 1;
  const below = (end: number) => (state = state * 48271 % 2147483647) % end;
  for (const letters of [2, 3, 20]) {
    const ids: number[] = [];
    let lookup = new Lookup();
    for (let step = 0; step < 300; step++) {
      const more = Array.from({ length: 1 + below(3) }, () => below(letters));
      ids.push(...more);
      lookup.add(more);
      if (step % 50 === 49) {
        ids.length -= below(20);
        lookup.cut(ids.length);
      }
      if (step % 70 === 69) lookup = lookup.copy();
      if (letters > 2) assertEquals(lookup.after(3), plainly(ids, 3));
      // With two letters there are more places than are looked at: still a copy, of MATCH or more.
      const place = lookup.after(1);
      if (place.length > 0) assert(plainly(ids, 1).length > 0);
    }
  }
  assertEquals(new Lookup([1, 2, 3]).after(2), []);
  assertEquals(new Lookup([1, 2, 3, 4, 5, 1, 2, 3, 4]).after(2), [5, 1]);
  assertEquals(new Lookup([1, 2, 3, 4, 5, 1, 2, 3, 4]).after(0), []);
});

test("auto runs inputs while right^n is above their cost, and none where lookups are wrong", () => {
  const policy = new AcceptPolicy("auto");
  assertEquals(policy.inputs(3), 0); // nothing is known yet
  for (let i = 0; i < 20; i++) policy.heard(true);
  policy.timed(0, 10);
  policy.timed(3, 13); // an input costs a tenth of a step
  assertEquals(policy.inputs(3), 3);
  assertEquals(policy.inputs(1), 1);
  for (let i = 0; i < 60; i++) policy.timed(1, 19.8); // now nearly a whole step
  assertEquals(policy.inputs(3), 0);
  for (let i = 0; i < 60; i++) policy.timed(1, 13);
  assertGreater(policy.inputs(3), 0);
  for (let i = 0; i < 40; i++) policy.heard(false);
  assertEquals(policy.inputs(3), 0);
  assertEquals([new AcceptPolicy("off").inputs(3), new AcceptPolicy("on").inputs(3)], [0, 3]);
});

const COPIES = 120; // tokens generated: over a page border
const samplings: readonly GenerateOptions[] = [
  {},
  { temperature: 0.8, seed: 3 },
];

// A text that says the same again and again: the model goes on copying it.
const repeated = [...promptIds.slice(0, 40), ...promptIds.slice(0, 40), ...promptIds.slice(0, 30)];
const engines: readonly Options[] = [
  { mode: "full" },
  { k: 16 },
  { k: 16, far: "file", slots: 24 },
  { rule: "paper", k: 16 },
];

async function run(engine: Engine, options: GenerateOptions) {
  return await engine.generate({ ids: repeated, maxTokens: COPIES, logprobs: 3, ...options })
    .result;
}

for (const options of engines) {
  test(`accepting changes no token nor logprob, ${JSON.stringify(options)}`, () =>
    withEngine(options, async (engine) => {
      for (const sampled of samplings) {
        const off = await run(engine, { ...sampled, accept: "off", guesses: 0 });
        for (const accept of ["on", "auto"] as const) {
          const given = await run(engine, { ...sampled, accept });
          assertEquals(answerOf(given), answerOf(off), `${accept}, ${JSON.stringify(sampled)}`);
          assertEquals(given.cache.tokens, off.cache.tokens);
          if (accept === "on" && sampled.temperature === undefined) {
            assertGreater(given.timing.tokensPerStep, 1.4);
            assertGreater(given.cache.guess.accepted, 0);
          }
        }
        assertEquals([off.timing.tokensPerStep, off.cache.guess.accepted], [1, 0]);
      }
    }));
}

test("any maxTokens ends an accepting run where one without ends, and it goes on alike", () =>
  withEngine({ k: 16 }, async (engine) => {
    const off = await run(engine, { accept: "off" });
    for (const first of [1, 2, 3, 5, 50, 51]) {
      await using session = await engine.session();
      const part = { ids: repeated, maxTokens: first, accept: "on" } as const;
      const { tokens } = await session.generate(part).result;
      assertEquals(tokens.length, first);
      const rest = await session.generate({ maxTokens: COPIES - first, accept: "on" }).result;
      assertEquals([...tokens, ...rest.tokens], off.tokens, `${first} first`);
      assertLessOrEqual(session.length, repeated.length + COPIES);
    }
  }));

test("with late rows left out guesses are not accepted, and asking for it is refused", () =>
  withEngine({ k: 16, far: "file", slots: 24 }, async (engine) => {
    for (const late of ["none", { above: 0.01 }] as const) {
      const off = await run(engine, { late, accept: "off" });
      assertEquals(answerOf(await run(engine, { late })), answerOf(off));
      const ask = () => run(engine, { late, accept: "on" });
      await assertRefused(ask, "argument", "accept on needs late all");
    }
  }));

test("accept on is refused where no guess fits", () =>
  withEngine({ guessesMax: 0 }, async (engine) => {
    const ask = () => run(engine, { accept: "on" });
    await assertRefused(ask, "argument", "accept on needs guessesMax above 0");
  }));
