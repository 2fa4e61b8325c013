// engine_cost.ts - what an engine adds to a step beside the library's work: messages between two
// threads, and text. Some tenths of a millisecond, so it counts for models of a few megabytes.
import { Engine } from "../engine.ts";
import { median } from "./numbers.ts";

const PROMPT = 32; // tokens
const TOKENS = 48;
const ROUNDS = 5;

/** Seconds of an engine's step, in mode full behind some tens of tokens; null: the text ended. */
export async function engineStep(
  model: string,
  vocabulary: number,
  threads: number,
): Promise<number | null> {
  await using engine = await Engine.open({
    ...{ model, mode: "full", profile: "none", contextTokens: PROMPT + TOKENS },
    threads: threads || undefined,
  });
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await using session = await engine.session();
    const ids = Array.from({ length: PROMPT }, (_, at) => (at * 37 + 11 + round) % vocabulary);
    const asked = { ids, maxTokens: TOKENS, accept: "off" } as const;
    const { timing } = await session.generate(asked).result;
    if (timing.tokensPerSecond > 0) times.push(1 / timing.tokensPerSecond);
  }
  return times.length === 0 ? null : median(times);
}
