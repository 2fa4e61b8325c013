// chat_request.ts - the body of a request to /v1/chat/completions, its interface and its schema,
// and the options of a generation that it becomes. Names are OpenAI's; those of the last group are
// ours.
import { z } from "zod";
import { type GenerateOptions, generateOptions, STOPS_MAX } from "../engine/config_generate.ts";
import type { Message } from "../engine/conversation.ts";
import { kOfStep, type Late, late, TOKENS_MAX } from "../engine/config.ts";
import { SpecacheError } from "../engine/errors.ts";
import { parse } from "../engine/parse.ts";

const ACTION = "answer";

/** Most alternatives a token that a request may ask for. */
export const TOP_LOGPROBS_MAX = 20;

/** A turn of the conversation. */
export interface ChatMessage {
  /** `developer` is the newer name of `system`. */
  readonly role: "system" | "developer" | "user" | "assistant";
  /** Text, or parts of it that become lines. */
  readonly content: string | readonly { readonly type: "text"; readonly text: string }[];
}

/** The fields of a request that have a use; null is as if left out. */
export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly stream?: boolean | null;
  readonly stream_options?: { readonly include_usage?: boolean | null } | null;
  readonly max_tokens?: number | null;
  readonly max_completion_tokens?: number | null;
  readonly temperature?: number | null;
  readonly top_p?: number | null;
  readonly presence_penalty?: number | null;
  readonly frequency_penalty?: number | null;
  readonly seed?: number | null;
  readonly stop?: string | readonly string[] | null;
  readonly logprobs?: boolean | null;
  readonly top_logprobs?: number | null;
  readonly top_k?: number | null;
  readonly min_p?: number | null;
  readonly repetition_penalty?: number | null;
  readonly k?: number | null;
  readonly late?: Late | null;
  readonly guesses?: GenerateOptions["guesses"] | null;
  readonly accept?: GenerateOptions["accept"] | null;
}

const content = z.union([
  z.string(),
  z.array(z.strictObject({ type: z.literal("text"), text: z.string() })).min(1),
], { error: "is neither a text nor a list of parts of type text" });

const ignored = z.unknown().optional();

const message = z.strictObject({
  role: z.enum(["system", "developer", "user", "assistant"]),
  content,
  name: ignored, // templates know no names
  refusal: unsupported([null]), // an answer of ours that comes back has it
});

// A field whose every value but these, which ask for nothing, is refused: an answer that leaves
// out what was asked for would be taken for one that has it.
function unsupported(nothing: readonly unknown[]): z.ZodType<unknown> {
  const same = (value: unknown) => nothing.some((each) => JSON.stringify(each) === value);
  return z.custom((value) => value === undefined || same(JSON.stringify(value)), {
    error: "is not supported",
  }).optional();
}

const maxTokens = z.int().min(1).max(TOKENS_MAX).nullish();

/** Checks {@linkcode ChatRequest}. */
export const chatRequest: z.ZodType<ChatRequest> = z.strictObject({
  model: z.string(),
  messages: z.array(message).min(1),
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({
    include_usage: z.boolean().nullish(),
    include_obfuscation: ignored,
  }).nullish(),
  max_tokens: maxTokens,
  max_completion_tokens: maxTokens,
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  seed: z.int().min(0).nullish(),
  stop: z.union([z.string().min(1), z.array(z.string().min(1)).max(STOPS_MAX)], {
    error: `is neither a text nor a list of at most ${STOPS_MAX} texts`,
  }).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(TOP_LOGPROBS_MAX).nullish(),
  top_k: z.int().min(0).max(2 ** 32 - 1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().min(0.01).max(100).nullish(),
  k: kOfStep.nullish(),
  late: late.nullish(),
  guesses: z.literal(["auto", 0, 1, 2, 3]).nullish(),
  accept: z.enum(["auto", "on", "off"]).nullish(),
  n: z.literal(1).nullish(),
  response_format: unsupported([null, { type: "text" }]),
  modalities: unsupported([null, ["text"]]),
  tools: unsupported([null, []]),
  tool_choice: unsupported([null, "none", "auto"]),
  functions: unsupported([null, []]),
  function_call: unsupported([null, "none", "auto"]),
  logit_bias: unsupported([null, {}]),
  // What tells the server about the caller, and what has no use without tools.
  user: ignored,
  metadata: ignored,
  store: ignored,
  service_tier: ignored,
  safety_identifier: ignored,
  prompt_cache_key: ignored,
  parallel_tool_calls: ignored,
});

/**
 * Reads a body.
 *
 * @throws {SpecacheError} argument: details.name is the field
 */
export function chatRequestOf(body: unknown): ChatRequest {
  const request: ChatRequest = parse(chatRequest, body, ACTION);
  if (isGiven(request.max_tokens) && isGiven(request.max_completion_tokens)) {
    throw refused("max_tokens", "and max_completion_tokens are both given");
  }
  if (request.top_logprobs && !request.logprobs) {
    throw refused("top_logprobs", `${request.top_logprobs} is given without logprobs`);
  }
  if (isGiven(request.stream_options) && !request.stream) {
    throw refused("stream_options", "is given without stream");
  }
  return request;
}

/** The options of a generation, without its prompt and its length. OpenAI's defaults hold. */
export function samplingOf(request: ChatRequest): GenerateOptions {
  const options = {
    temperature: request.temperature ?? 1,
    topK: request.top_k,
    topP: request.top_p,
    minP: request.min_p,
    repetitionPenalty: request.repetition_penalty,
    presencePenalty: request.presence_penalty,
    frequencyPenalty: request.frequency_penalty,
    seed: request.seed ?? crypto.getRandomValues(new Uint32Array(1))[0],
    stop: request.stop,
    // The engine tells a token's own probability along with at least one alternative.
    logprobs: request.logprobs ? Math.max(1, request.top_logprobs ?? 0) : undefined,
    k: request.k,
    late: request.late,
    guesses: request.guesses,
    accept: request.accept,
  };
  const given = Object.entries(options).filter(([, value]) => isGiven(value));
  return parse(generateOptions, Object.fromEntries(given), ACTION);
}

/** The conversation as the engine takes it. */
export function messagesOf({ messages }: ChatRequest): Message[] {
  return messages.map(({ role, content }) => ({
    role: role === "developer" ? "system" : role,
    content: typeof content === "string" ? content : content.map(({ text }) => text).join("\n"),
  }));
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function refused(name: string, sentence: string): SpecacheError {
  return new SpecacheError("argument", `Cannot ${ACTION}: ${name} ${sentence}`, {
    details: { name },
  });
}
