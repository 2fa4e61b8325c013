// Usage of several answers to several prompts: what counts once, what is a sum, what the first's.
import type { GenerateResult } from "../../mod.ts";
import { usageOf } from "../../routes/usage.ts";
import { assertEquals, test } from "../harness.ts";

// An answer whose counters are told apart by `at`.
function result(at: number): GenerateResult {
  return {
    usage: {
      ...{ promptTokens: 10 * at, completionTokens: at },
      ...{ cachedTokens: 7 * at, cachedGeneratedTokens: 3 * at },
    },
    cache: { nearBytes: 100 * at, fullBytes: 1000 * at, lateRows: 10_000 * at },
    timing: { prefillMs: 20 * at, tokensPerSecond: 30 * at },
  } as unknown as GenerateResult; // what usage reads of it
}

test("a prompt counts once, answers and their cache all, times those of the first", () => {
  const prompts = [
    { results: [result(1), result(2)], seed: 4 },
    { results: [result(3), result(5)], seed: 6 },
  ];
  assertEquals(usageOf(prompts), {
    ...{ prompt_tokens: 17 * (1 + 3), completion_tokens: 11, total_tokens: 68 + 11 },
    prompt_tokens_details: { cached_tokens: 7 * (1 + 3) },
    specache: {
      ...{ seed: 4, cached_prompt_tokens: 4 * (1 + 3), cached_generated_tokens: 3 * (1 + 3) },
      ...{ near_bytes: 1100, full_bytes: 11_000, late_rows: 110_000 },
      ...{ prefill_ms: 20, tokens_per_second: 30 },
    },
  });
});
