// support.ts - what the tests of engine/ share: a text long enough that codes, slots and window all
// take part (a page is 64 tokens, the window 131 rows), the shipped model, and ways to run and to
// refuse.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needleDocument } from "../../eval/needle.ts";
import { needleModel, shippedSource } from "../../eval/source.ts";
import {
  type CacheOptions,
  Engine,
  type EngineOptions,
  type ErrorCode,
  type GenerateOptions,
  type GenerateResult,
  SpecacheError,
} from "../../mod.ts";
import { assertEquals, assertInstanceOf, assertStringIncludes, fail } from "../harness.ts";

/** Tokens of {@linkcode promptIds}: not quite 8 pages. */
export const PROMPT = 500;
/** Tokens that follow: past 512, where one more page is seen as codes. */
export const FOLLOWING = 18;
/** Room for both. */
export const CONTEXT = 600;
/** Exact pairs a step: a fraction of the tail, so that the choice matters. */
export const K = 16;

const source = await shippedSource();

/** A text of `tokens` tokens with hidden facts that ends in a question for one. */
export function textIds(tokens: number, seed = 1): readonly number[] {
  return needleDocument(source, { seed, tokens, facts: 6 }).ids;
}

/** The text that most tests go on from. */
export const promptIds = textIds(PROMPT);

/** How requests draw tokens: greedily, and at random where several tokens are likely. */
export const samplings: Readonly<Record<string, GenerateOptions>> = {
  greedy: {},
  sampled: { temperature: 0.8, seed: 8 },
};

/** Opens the shipped model with few exact pairs. */
export function openNeedle(options: Partial<EngineOptions> = {}): Promise<Engine> {
  return Engine.open({ model: needleModel, contextTokens: CONTEXT, k: K, threads: 2, ...options });
}

/** Engine options; a far file gets its name from withEngine. */
export type Options = Omit<Partial<EngineOptions>, "far"> & { readonly far?: "ram" | "file" };

/** Runs `body` with an engine and a folder for its far file. */
export function withEngine<Result>(
  { far, ...options }: Options,
  body: (engine: Engine) => Promise<Result>,
): Promise<Result> {
  return withFolder(async (folder) => {
    const cache: CacheOptions = far === "file" ? { far: { file: join(folder, "far") } } : {};
    await using engine = await openNeedle({ ...options, ...cache });
    return await body(engine);
  });
}

/** What must be the same bit for bit: tokens, and logprobs as doubles of the very logits. */
export interface Answer {
  readonly tokens: readonly number[];
  readonly logprobs: GenerateResult["logprobs"];
}

/** The answer of a result. */
export function answerOf({ tokens, logprobs }: GenerateResult): Answer {
  return { tokens, logprobs };
}

/** Asked of every generation that is compared. */
export const asked: GenerateOptions = { maxTokens: FOLLOWING, logprobs: 5 };

/** Generates from the prompt in a session of its own. */
export async function answer(engine: Engine, options: GenerateOptions = {}): Promise<Answer> {
  return answerOf(await engine.generate({ ids: promptIds, ...asked, ...options }).result);
}

/** Runs `body` with a folder of `parent` that is gone afterwards. */
export async function withFolder<Result>(
  body: (folder: string) => Result | Promise<Result>,
  parent: string = tmpdir(),
): Promise<Result> {
  const folder = mkdtempSync(join(parent, "specache-"));
  try {
    return await body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The SpecacheError that `call` throws or rejects with. */
export async function errorOf(call: () => unknown): Promise<SpecacheError> {
  try {
    await call();
  } catch (error) {
    assertInstanceOf(error, SpecacheError, `not a SpecacheError: ${error}`);
    return error;
  }
  return fail("no error came");
}

/** Checks that `call` is refused with a code and a message that holds `text`. */
export async function assertRefused(
  call: () => unknown,
  code: ErrorCode,
  text: string,
): Promise<void> {
  const error = await errorOf(call);
  assertStringIncludes(error.message, text);
  assertEquals(error.code, code, error.message);
}
