// What may change no bit of a text (DESIGN section 7): tokens and logprobs are compared exactly,
// and logprobs are doubles computed from the very logits.
import type { Guesses, Session } from "../../mod.ts";
import { assert, assertEquals, assertLess, assertNotEquals, test } from "../harness.ts";
import {
  type Answer,
  answer,
  answerOf,
  asked,
  CONTEXT,
  FOLLOWING,
  K,
  type Options,
  PROMPT,
  promptIds,
  samplings,
  withEngine,
} from "./support.ts";

// The reference of all comparisons: far in RAM, no slots, no guesses, one thread, one piece.
const base: Record<string, Answer> = await withEngine({ threads: 1 }, async (engine) => ({
  greedy: await answer(engine),
  sampled: await answer(engine, samplings.sampled),
}));

test("the text is long enough for choice to matter: k 0 gives other logits", async () => {
  const codesAlone = await withEngine({ k: 0 }, (engine) => answer(engine));
  assertNotEquals(codesAlone.logprobs, base.greedy.logprobs);
  assertNotEquals(base.sampled.tokens, base.greedy.tokens);
  for (const name of ["greedy", "sampled"]) assertEquals(base[name].tokens.length, FOLLOWING);
});

// Logits of the shipped model are below 32, and sums of 64 to 512 products in another order differ
// by some 100 roundings of 2^-24 of that.
const ORDER_OF_SUMS = 2e-4;

test("with k of all tokens specache and paper equal full up to the order of sums", async () => {
  const of = (options: Options) => withEngine(options, (engine) => answer(engine));
  const full = await of({ mode: "full", kvType: "f32" });
  for (const mode of ["specache", "paper"] as const) {
    const { tokens, logprobs } = await of({ mode, k: CONTEXT, kvType: "f32" });
    assertEquals(tokens, full.tokens, mode);
    logprobs!.forEach((row, at) =>
      row.forEach(([id, logprob], rank) => {
        const [expectedId, expected] = full.logprobs![at][rank];
        assertLess(Math.abs(logprob - expected), ORDER_OF_SUMS, `${mode}, token ${at}`);
        if (rank === 0) assertEquals(id, expectedId, mode);
      })
    );
  }
});

const engines: readonly (readonly [string, Options, readonly Guesses[]])[] = [
  ["two threads", { guessesMax: 2 }, [0, 2]],
  ["slots beside RAM", { slots: 64, guessesMax: 2 }, [0, 1, 2]],
  ["a file without slots", { far: "file", slots: 0, guessesMax: 2 }, [0, 2]],
  ["a file with 64 slots", { far: "file", slots: 64, guessesMax: 2 }, [0, 1, 2]],
  ["a file with few slots", { far: "file", slots: K, guessesMax: 1, threads: 1 }, [1]],
  ["a file with a slot for every token", { far: "file", slots: CONTEXT }, ["auto"]],
];

for (const [name, options, guesses] of engines) {
  test(`${name}, ${guesses.join(", ")} guesses: the same bits, greedy and sampled`, () =>
    withEngine(options, async (engine) => {
      for (const [sampling, sampled] of Object.entries(samplings)) {
        for (const count of guesses) {
          const given = await answer(engine, { ...sampled, guesses: count });
          assertEquals(given, base[sampling], `${count} guesses, ${sampling}`);
        }
      }
    }));
}

// Hot enough that most tokens would be others with other random numbers.
const hot = { temperature: 3, seed: 5 };
const plain = promptIds.slice(0, 300); // in the middle of a sentence, where no answer is due

test("a guess is drawn as its token will be: without codes each is right, greedy and hot", () =>
  withEngine({ mode: "full", guessesMax: 2 }, async (engine) => {
    for (const sampled of [samplings.greedy, hot]) {
      for (const guesses of [1, 2] as const) {
        const options = { ids: plain, ...asked, ...sampled, guesses, accept: "off" } as const;
        const { made, bySource } = (await engine.generate(options).result).cache.guess;
        assertEquals(made, FOLLOWING - 1, `${guesses} guesses`);
        assertEquals(bySource.chain.made + bySource.lookup.made, made);
        // Behind a lookup that was wrong the chain's next guess follows from a wrong token.
        if (bySource.lookup.made === 0) assertEquals(bySource.chain.right, made);
        else assertEquals(sampled, samplings.greedy); // what is hot repeats nothing
      }
    }
  }));

test("a token is drawn by its position, whether what stands before it was read or generated", () =>
  withEngine({ mode: "full", kvType: "f32" }, async (engine) => {
    const { tokens } = await answer(engine, { ...hot, ids: plain });
    for (const read of [1, 2, 7]) {
      const ids = [...plain, ...tokens.slice(0, read)];
      const maxTokens = FOLLOWING - read;
      const rest = await answer(engine, { ...hot, ids, maxTokens });
      assertEquals(rest.tokens, tokens.slice(read), `${read} read`);
    }
  }));

test("a second prompt goes behind all generated tokens, the last one too", () =>
  withEngine({ far: "file", sequences: 2 }, async (engine) => {
    const [generated, more] = [8, promptIds.slice(200, 230)];
    await using session = await engine.session();
    await using fork = await beginning(session, generated);
    const next = await session.generate({ ids: more, ...asked }).result;
    assertEquals(session.length, PROMPT + generated + more.length + FOLLOWING - 1);
    await fork.truncate(PROMPT + generated - 1);
    const ids = [base.greedy.tokens[generated - 1], ...more];
    assertEquals(answerOf(await fork.generate({ ids, ...asked }).result), answerOf(next));
  }));

async function beginning(session: Session, maxTokens: number): Promise<Session> {
  await session.generate({ ids: promptIds, maxTokens }).result;
  return await session.fork();
}

test("a file is fetched from, ahead where guesses run and late where none do", () =>
  withEngine({ far: "file", slots: 64, guessesMax: 1 }, async (engine) => {
    const cacheOf = async (guesses: Guesses) =>
      (await engine.generate({ ids: promptIds, ...asked, guesses, accept: "off" }).result).cache;
    const [ahead, late] = [await cacheOf(1), await cacheOf(0)];
    assert(ahead.prefetchedRows > 0 && ahead.guess.made === FOLLOWING - 1);
    assert(late.prefetchedRows === 0 && late.guess.made === 0);
    assertLess(ahead.lateRows, late.lateRows);
    assertEquals(
      ahead.reusedRows + ahead.lateRows,
      late.reusedRows + late.lateRows, // what input 0 chose
    );
  }));

/** Prefills the pieces of the prompt that end at `cuts`, then generates. */
async function inPieces(session: Session, cuts: readonly number[]): Promise<Answer> {
  let done = 0;
  for (const cut of cuts) {
    const { stop } = await session.generate({ ids: promptIds.slice(done, cut), maxTokens: 0 })
      .result;
    assertEquals(stop, "length");
    assertEquals(session.length, cut);
    done = cut;
  }
  return answerOf(await session.generate({ ids: promptIds.slice(done), ...asked }).result);
}

for (const far of ["ram", "file"] as const) {
  test(`a prompt in pieces gives the bits of one piece, far in ${far}`, () =>
    withEngine({ far }, async (engine) => {
      for (const cuts of [[64], [1, 65, 499], [3, 131, 300]]) {
        await using session = await engine.session();
        assertEquals(await inPieces(session, cuts), base.greedy, `cuts ${cuts}`);
      }
    }));

  test(`a generation in parts gives the bits of one, far in ${far}`, () =>
    withEngine({ far, guessesMax: 2 }, async (engine) => {
      await using session = await engine.session();
      const parts: Answer[] = [];
      for (const [part, maxTokens] of [1, 6, FOLLOWING - 7].entries()) {
        const ids = part === 0 ? promptIds : undefined;
        const guesses = [0, 2, 1][part] as Guesses;
        const options = { ...asked, ...samplings.sampled, ids, maxTokens, guesses };
        parts.push(answerOf(await session.generate(options).result));
      }
      assertEquals(parts.flatMap(({ tokens }) => tokens), base.sampled.tokens);
      assertEquals(parts.flatMap(({ logprobs }) => logprobs!), base.sampled.logprobs);
    }));

  test(`a fork goes on as its origin does, far in ${far}`, () =>
    withEngine({ far, sequences: 3 }, async (engine) => {
      const first = 6;
      await using origin = await engine.session();
      await origin.generate({ ids: promptIds, maxTokens: first }).result;
      await using fork = await origin.fork();
      await using elsewhere = await origin.fork();
      const rest = { ...asked, maxTokens: FOLLOWING - first };
      await elsewhere.generate({ ids: promptIds.slice(100, 170), maxTokens: 5 }).result;
      const both = await Promise.all(
        [fork, origin].map((session) => session.generate(rest).result),
      );
      for (const { tokens, logprobs } of both) {
        assertEquals(tokens, base.greedy.tokens.slice(first));
        assertEquals(logprobs, base.greedy.logprobs!.slice(first));
      }
    }));

  test(`a text that was cut goes on as one that never went further, far in ${far}`, () =>
    withEngine({ far }, async (engine) => {
      for (const cut of [PROMPT - 1, 448, 300, 1, 0]) {
        await using session = await engine.session();
        await session.generate({ ids: promptIds, maxTokens: FOLLOWING }).result;
        await session.truncate(cut);
        assertEquals(session.length, cut);
        const rest = await session.generate({ ids: promptIds.slice(cut), ...asked }).result;
        assertEquals(answerOf(rest), base.greedy, `cut to ${cut}`);
      }
    }));
}

test("a text cut in its generated part goes on as one that stopped there", () =>
  withEngine({ far: "file" }, async (engine) => {
    const answers: Answer[] = [];
    for (const maxTokens of [8, FOLLOWING]) {
      await using session = await engine.session();
      await session.generate({ ids: promptIds, maxTokens }).result;
      await session.truncate(PROMPT + 7); // the token generated last is not held yet
      const ids = [base.greedy.tokens[7]];
      answers.push(answerOf(await session.generate({ ids, ...asked, maxTokens: 10 }).result));
    }
    assertEquals(answers[0], answers[1]);
  }));
