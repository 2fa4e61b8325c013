// demo.ts - what `npm start` runs: one long real text with facts hidden in it, read once in each
// mode, then every fact asked in a continuation of its own.

import { tmpdir } from "node:os";
import { join } from "node:path";
import { mkdtemp, rm } from "node:fs/promises";
import type { Mode } from "../engine/config.ts";
import { Engine, type EngineOptions, type GenerateResult } from "../mod.ts";
import { needleModel, shippedSource } from "./source.ts";
import { ANSWER_TOKENS_MAX, type NeedleText, needleText, recalls } from "./needle.ts";

/** What one mode came to. */
export interface DemoRow {
  readonly mode: Mode;
  /** Near bytes of the sequence, bytes reserved far, and those of a 16-bit cache. */
  readonly nearBytes: number;
  readonly farBytes: number;
  readonly fullBytes: number;
  readonly ratio: number;
  /** Facts whose value came back exactly, of those asked. */
  readonly recalled: number;
  readonly asked: number;
  readonly prefillMs: number;
  readonly tokensPerSecond: number;
  readonly guess: { readonly made: number; readonly right: number };
  readonly fetch: { readonly hiddenMs: number; readonly waitedMs: number; readonly lateMs: number };
}

/** The whole demo. */
export interface Demo {
  readonly tokens: number;
  readonly facts: number;
  readonly device: GenerateResult["device"];
  readonly rows: readonly DemoRow[];
}

/** Told of tokens read and of facts asked. */
export type DemoProgress = (mode: Mode, what: string, done: number, all: number) => void;

const MODES: readonly Mode[] = ["full", "paper", "specache"];
const TOKENS = 8_000;
const FACTS = 12;
const QUESTION_TOKENS_MAX = 32;
const SEED = 5; // of the task

/** Runs all modes, with far memory in a file of the temporary folder. */
export async function demo(progress: DemoProgress): Promise<Demo> {
  const source = await shippedSource();
  // Numbers take six decode steps each; a word's one token would come out of the exact prefill.
  const text = needleText(source, { seed: SEED, tokens: TOKENS, facts: FACTS, values: "numbers" });
  const folder = await mkdtemp(join(tmpdir(), "specache-"));
  try {
    const rows: DemoRow[] = [];
    let device: GenerateResult["device"] | null = null;
    for (const mode of MODES) {
      const far = mode === "full" ? "ram" : { file: join(folder, `${mode}.far`) };
      const run = await runMode({ mode, far }, text, progress);
      rows.push(run.row);
      device = run.device;
    }
    return { tokens: TOKENS, facts: FACTS, device: device!, rows };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function runMode(
  cache: Pick<EngineOptions, "far"> & { mode: Mode },
  text: NeedleText,
  progress: DemoProgress,
): Promise<{ row: DemoRow; device: GenerateResult["device"] }> {
  const { mode } = cache;
  const contextTokens = TOKENS + QUESTION_TOKENS_MAX + ANSWER_TOKENS_MAX;
  await using engine = await Engine.open({ model: needleModel, contextTokens, ...cache });
  const session = await engine.session();
  const read = await session.generate({
    ids: text.ids,
    maxTokens: 0,
    progress: (done, all) => progress(mode, "tokens read", done, all),
  }).result;
  let last = read;
  let [recalled, steps, decodeMs] = [0, 0, 0];
  for (const [asked, { question, answer }] of text.facts.entries()) {
    last = await session.generate({ ids: question, maxTokens: ANSWER_TOKENS_MAX }).result;
    if (recalls(last.text, answer)) recalled++;
    steps += last.tokens.length - 1; // the first token comes out of the prefill
    decodeMs += last.timing.decodeMs;
    await session.truncate(text.ids.length);
    progress(mode, "facts asked", asked + 1, text.facts.length);
  }
  const { nearBytes, farBytes, fullBytes, ratio, guess, fetch } = last.cache;
  const row = {
    mode,
    nearBytes,
    farBytes,
    fullBytes,
    ratio,
    recalled,
    asked: text.facts.length,
    prefillMs: read.timing.prefillMs,
    tokensPerSecond: 1000 * steps / decodeMs,
    guess: { made: guess.made, right: guess.right },
    fetch,
  };
  return { row, device: last.device };
}
