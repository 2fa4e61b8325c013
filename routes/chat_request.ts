// chat_request.ts - the body of a request to /v1/chat/completions, its interface and its schema,
// and the options of a generation that it becomes.
import { z } from "zod";
import type { GenerateOptions } from "../engine/config_generate.ts";
import type { Message } from "../engine/conversation.ts";
import { parse } from "../engine/parse.ts";
import type { CallsAsked } from "./choice.ts";
import {
  ACTION,
  callerFields,
  checkStream,
  choices,
  ignored,
  isGiven,
  maxTokens,
  refused,
  type SamplingFields,
  samplingFields,
  samplingOf,
  type StreamFields,
  streamFields,
  unsupported,
} from "./fields.ts";
import { type FormatField, formatField, formatOf } from "./format_fields.ts";
import {
  type CallFields,
  callFields,
  messageCallOf,
  type ToolFields,
  toolFields,
  toolsOf,
} from "./tool_fields.ts";

/** Most alternatives a token that a request may ask for. */
export const TOP_LOGPROBS_MAX = 20;

/** A turn of the conversation. */
export interface ChatMessage {
  /** `developer` is the newer name of `system`. */
  readonly role: "system" | "developer" | "user" | "assistant" | "tool";
  /** Text, or parts of it that become lines; of an assistant that called something, maybe none. */
  readonly content?: Content | null;
  /** What an assistant called. */
  readonly tool_calls?: readonly CallFields[] | null;
  /** The call that a tool answers. */
  readonly tool_call_id?: string | null;
  /** Of a tool: its own. */
  readonly name?: string | null;
}

/** What is said. */
export type Content = string | readonly { readonly type: "text"; readonly text: string }[];

/** The fields of a request that have a use; null is as if left out. */
export interface ChatRequest extends SamplingFields, StreamFields, ToolFields {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly n?: number | null;
  readonly max_tokens?: number | null;
  readonly max_completion_tokens?: number | null;
  readonly logprobs?: boolean | null;
  readonly top_logprobs?: number | null;
  readonly response_format?: FormatField | null;
}

const content = z.union([
  z.string(),
  z.array(z.strictObject({ type: z.literal("text"), text: z.string() })).min(1),
], { error: "is neither a text nor a list of parts of type text" });

const message = z.strictObject({
  role: z.enum(["system", "developer", "user", "assistant", "tool"]),
  content: content.nullish(),
  name: z.string().max(200).nullish(), // templates know names of tools alone
  tool_calls: z.array(callFields).min(1).nullish(),
  tool_call_id: z.string().max(200).nullish(),
  // An answer of ours, or of others, that comes back has them.
  refusal: unsupported([null]),
  annotations: ignored,
  audio: unsupported([null]),
  function_call: unsupported([null]),
}).superRefine(({ role, content, tool_calls, tool_call_id }, context) => {
  const fault = (name: string, message: string) =>
    context.addIssue({ code: "custom", path: [name], message });
  if (tool_calls && role !== "assistant") fault("tool_calls", `is given by role ${role}`);
  if (role === "tool" && !isGiven(tool_call_id)) fault("tool_call_id", "is missing");
  if (role !== "tool" && isGiven(tool_call_id)) fault("tool_call_id", `is given by role ${role}`);
  const empty = "is neither a text nor a list of parts of type text";
  if (!isGiven(content) && !tool_calls) fault("content", empty);
});

/** Checks {@linkcode ChatRequest}. */
export const chatRequest: z.ZodType<ChatRequest> = z.strictObject({
  model: z.string(),
  messages: z.array(message).min(1),
  n: choices,
  ...streamFields,
  max_tokens: maxTokens,
  max_completion_tokens: maxTokens,
  ...samplingFields,
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(TOP_LOGPROBS_MAX).nullish(),
  response_format: formatField.nullish(),
  ...toolFields,
  modalities: unsupported([null, ["text"]]),
  functions: unsupported([null, []]),
  function_call: unsupported([null, "none", "auto"]),
  logit_bias: unsupported([null, {}]),
  ...callerFields,
});

/**
 * Reads a body.
 *
 * @throws {SpecacheError} argument: details.name is the field
 */
export function chatRequestOf(body: unknown): ChatRequest {
  const request = parse(chatRequest, body, ACTION);
  if (isGiven(request.max_tokens) && isGiven(request.max_completion_tokens)) {
    throw refused("max_tokens", "and max_completion_tokens are both given");
  }
  if (request.top_logprobs && !request.logprobs) {
    throw refused("top_logprobs", `${request.top_logprobs} is given without logprobs`);
  }
  checkStream(request);
  return request;
}

/** The options of a generation: all but whose it is. */
export function generateOf(request: ChatRequest): GenerateOptions & { readonly seed: number } {
  return samplingOf(request, {
    messages: messagesOf(request),
    maxTokens: request.max_completion_tokens ?? request.max_tokens ?? "rest",
    // The engine tells a token's own probability along with at least one alternative.
    logprobs: request.logprobs ? Math.max(1, request.top_logprobs ?? 0) : undefined,
    ...toolsOf(request),
    ...formatOf(request.response_format),
  });
}

/** The calls that are looked for in an answer; null: none. */
export function callsOf(
  request: Pick<ToolFields, "parallel_tool_calls">,
  { tools }: GenerateOptions,
): CallsAsked | null {
  if (tools === undefined) return null;
  const names = tools.map((tool) => tool.function.name);
  return { names, single: request.parallel_tool_calls === false };
}

function messagesOf({ messages }: ChatRequest): Message[] {
  return messages.map(({ role, content, tool_calls, tool_call_id, name }, at) => ({
    role: role === "developer" ? "system" : role,
    content: textOf(content),
    ...tool_calls
      ? {
        tool_calls: tool_calls.map((call, index) =>
          messageCallOf(call, `messages[${at}].tool_calls[${index}]`)
        ),
      }
      : {},
    ...role === "tool" ? { tool_call_id: tool_call_id! } : {},
    ...role === "tool" && name ? { name } : {},
  }));
}

/** A text; parts become lines. */
export function textOf(content: Content | null | undefined): string {
  if (!content) return "";
  return typeof content === "string" ? content : content.map(({ text }) => text).join("\n");
}
