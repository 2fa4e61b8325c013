// completions_request.ts - the body of a request to /v1/completions, its interface and its schema,
// and the options of generations that it becomes.
import { z } from "zod";
import type { GenerateOptions } from "../engine/config_generate.ts";
import { parse } from "../engine/parse.ts";
import { type Group, groupOf } from "./choices.ts";
import {
  ACTION,
  callerFields,
  checkStream,
  choices,
  maxTokens,
  refused,
  type SamplingFields,
  samplingFields,
  samplingOf,
  seedOf,
  type StreamFields,
  streamFields,
  unsupported,
} from "./fields.ts";

/** Prompts of a request at most. */
export const PROMPTS_MAX = 16;

/** Most alternatives a token that a request may ask for. */
export const TOP_LOGPROBS_MAX = 20;

/** Tokens that a request generates at most, where it does not say: as OpenAI's API. */
const MAX_TOKENS = 16;

/** The fields of a request that have a use; null is as if left out. */
export interface CompletionRequest extends SamplingFields, StreamFields {
  readonly model: string;
  /** A text or token ids, or several of either. */
  readonly prompt: string | readonly string[] | readonly number[] | readonly (readonly number[])[];
  readonly n?: number | null;
  readonly max_tokens?: number | null;
  /** Alternatives of each token. */
  readonly logprobs?: number | null;
}

const ids = z.array(z.int().min(0).max(2 ** 32 - 1)).min(1);

/** Checks {@linkcode CompletionRequest}. */
export const completionRequest: z.ZodType<CompletionRequest> = z.strictObject({
  model: z.string(),
  prompt: z.union([
    z.string(),
    z.array(z.string()).min(1),
    ids,
    z.array(ids).min(1),
  ], { error: "is neither a text nor token ids nor a list of these" }),
  n: choices,
  ...streamFields,
  max_tokens: maxTokens,
  ...samplingFields,
  logprobs: z.int().min(0).max(TOP_LOGPROBS_MAX).nullish(),
  best_of: unsupported([null, 1]),
  echo: unsupported([null, false]),
  suffix: unsupported([null]),
  logit_bias: unsupported([null, {}]),
  ...callerFields,
});

/**
 * Reads a body.
 *
 * @throws {SpecacheError} argument: details.name is the field
 */
export function completionRequestOf(body: unknown): CompletionRequest {
  const request = parse(completionRequest, body, ACTION);
  checkStream(request);
  const prompts = promptsOf(request).length;
  if (prompts > PROMPTS_MAX) {
    throw refused("prompt", `has ${prompts} prompts, above ${PROMPTS_MAX}`);
  }
  return request;
}

/** The answers to each prompt; `more` goes into the options of all. */
export function groupsOf(request: CompletionRequest, more: GenerateOptions): Group[] {
  const { n, max_tokens, logprobs } = request;
  const count = n ?? 1;
  const sampling = samplingOf(request, {
    maxTokens: max_tokens ?? MAX_TOKENS,
    // The engine tells a token's own probability along with at least one alternative.
    logprobs: typeof logprobs === "number" ? Math.max(1, logprobs) : undefined,
  });
  return promptsOf(request).map((prompt, at) => {
    const seed = seedOf(sampling.seed, at * count);
    return groupOf({ ...sampling, ...prompt, ...more, seed }, count);
  });
}

function promptsOf({ prompt }: CompletionRequest): Pick<GenerateOptions, "prompt" | "ids">[] {
  if (typeof prompt === "string") return [{ prompt }];
  if (typeof prompt[0] === "number") return [{ ids: prompt as number[] }];
  return (prompt as readonly (string | readonly number[])[]).map((each) =>
    typeof each === "string" ? { prompt: each } : { ids: each }
  );
}
