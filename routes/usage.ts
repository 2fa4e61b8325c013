// usage.ts - what answers cost, in OpenAI's words and, beside them, in ours.
import type { GenerateResult } from "../engine/generation.ts";

/** The answers to one prompt; the seed is that of the first. */
export interface Answers {
  readonly results: readonly GenerateResult[];
  readonly seed: number;
}

/** Tokens of a request; a prompt counts once, whatever number of answers it has. */
export interface Tokens {
  readonly prompt: number;
  readonly cached: number;
  readonly completion: number;
}

/** Counts tokens. */
export function tokensOf(prompts: readonly Answers[]): Tokens {
  const firsts = prompts.map(({ results: [first] }) => first.usage);
  const all = prompts.flatMap(({ results }) => results);
  return {
    prompt: sum(firsts.map((usage) => usage.promptTokens + usage.cachedTokens)),
    cached: sum(firsts.map((usage) => usage.cachedTokens)),
    completion: sum(all.map(({ usage }) => usage.completionTokens)),
  };
}

/** Our own counters: of the cache those of all answers, of times those of the first. */
export function ourUsage(prompts: readonly Answers[]): object {
  const firsts = prompts.map(({ results: [first] }) => first);
  const all = prompts.flatMap(({ results }) => results);
  const cached = sum(firsts.map(({ usage }) => usage.cachedTokens));
  const generated = sum(firsts.map(({ usage }) => usage.cachedGeneratedTokens));
  const [{ timing }] = firsts;
  return {
    seed: prompts[0].seed,
    cached_prompt_tokens: cached - generated,
    cached_generated_tokens: generated,
    near_bytes: sum(all.map(({ cache }) => cache.nearBytes)),
    full_bytes: sum(all.map(({ cache }) => cache.fullBytes)),
    late_rows: sum(all.map(({ cache }) => cache.lateRows)),
    prefill_ms: timing.prefillMs,
    tokens_per_second: timing.tokensPerSecond,
  };
}

/** The usage of a chat or a completion. */
export function usageOf(prompts: readonly Answers[]): object {
  const { prompt, cached, completion } = tokensOf(prompts);
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached },
    specache: ourUsage(prompts),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
