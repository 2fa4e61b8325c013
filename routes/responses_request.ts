// responses_request.ts - the body of a request to /v1/responses, its interface and its schema, and
// the options of a generation that it becomes.
import { z } from "zod";
import type { GenerateOptions } from "../engine/config_generate.ts";
import { functionName, type Tool } from "../engine/conversation.ts";
import { parse } from "../engine/parse.ts";
import {
  ACTION,
  callerFields,
  ignored,
  maxTokens,
  refused,
  type SamplingFields,
  samplingFields,
  samplingOf,
  unsupported,
} from "./fields.ts";
import { formatOf, FORMATS, type NamedSchema, namedSchemaFields } from "./format_fields.ts";
import { type Item, items, messagesIn } from "./responses_input.ts";
import { choiceField, functionFields, type ToolFields, toolList, toolsOf } from "./tool_fields.ts";

/** Most alternatives a token that a request may ask for. */
export const TOP_LOGPROBS_MAX = 20;

/** What has the answer's probabilities told. */
const LOGPROBS = "message.output_text.logprobs";

type ChatTool = NonNullable<ToolFields["tools"]>[number];

/** The fields of a request that have a use; null is as if left out. */
export interface ResponseRequest extends SamplingFields, Pick<ToolFields, "parallel_tool_calls"> {
  readonly model: string;
  /** What the user says, or a conversation. */
  readonly input: string | readonly Item[];
  /** What the system says before it. */
  readonly instructions?: string | null;
  readonly max_output_tokens?: number | null;
  readonly stream?: boolean | null;
  readonly text?: { readonly format?: TextFormat | null } | null;
  readonly tools?: readonly (ChatTool["function"] & { readonly type: "function" })[] | null;
  readonly tool_choice?:
    | "none"
    | "auto"
    | "required"
    | { readonly type: "function"; readonly name: string }
    | null;
  readonly include?: readonly string[] | null;
  readonly top_logprobs?: number | null;
}

/** What a text is held to. */
export type TextFormat =
  | { readonly type: "text" | "json_object" }
  | { readonly type: "json_schema" } & NamedSchema;

const textFormat = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("text") }),
  z.strictObject({ type: z.literal("json_object") }),
  z.strictObject({ type: z.literal("json_schema"), ...namedSchemaFields }),
], { error: FORMATS });

/** Checks {@linkcode ResponseRequest}. */
export const responseRequest: z.ZodType<ResponseRequest> = z.strictObject({
  model: z.string(),
  input: z.union([z.string(), items], { error: "is neither a text nor a list of items" }),
  instructions: z.string().nullish(),
  max_output_tokens: maxTokens,
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({ include_obfuscation: ignored }).nullish(),
  ...samplingFields,
  text: z.strictObject({
    format: textFormat.nullish(),
    verbosity: unsupported([null, "medium"]),
  }).nullish(),
  tools: toolList(z.strictObject({ type: z.literal("function"), ...functionFields })),
  tool_choice: choiceField(z.strictObject({ type: z.literal("function"), name: functionName })),
  parallel_tool_calls: z.boolean().nullish(),
  include: z.array(z.literal(LOGPROBS)).nullish(),
  top_logprobs: z.int().min(0).max(TOP_LOGPROBS_MAX).nullish(),
  previous_response_id: unsupported([null]), // no answer is kept
  conversation: unsupported([null]),
  background: unsupported([null, false]),
  truncation: unsupported([null, "disabled"]),
  reasoning: unsupported([null]),
  max_tool_calls: unsupported([null]),
  prompt: unsupported([null]),
  prompt_cache_retention: ignored,
  ...callerFields,
});

/**
 * Reads a body.
 *
 * @throws {SpecacheError} argument: details.name is the field
 */
export function responseRequestOf(body: unknown): ResponseRequest {
  const request = parse(responseRequest, body, ACTION);
  if (request.top_logprobs && alternativesOf(request) === null) {
    throw refused("top_logprobs", `is given without ${LOGPROBS} in include`);
  }
  return request;
}

/** Alternatives of each token; null: no probabilities are asked for. */
export function alternativesOf({ include, top_logprobs }: ResponseRequest): number | null {
  return include?.includes(LOGPROBS) ? top_logprobs ?? 0 : null;
}

/** The options of a generation: all but whose it is. */
export function generateOf(request: ResponseRequest): GenerateOptions & { readonly seed: number } {
  const logprobs = alternativesOf(request);
  return samplingOf(request, {
    messages: messagesIn(request.input, request.instructions ?? null),
    maxTokens: request.max_output_tokens ?? "rest",
    // The engine tells a token's own probability along with at least one alternative.
    logprobs: logprobs === null ? undefined : Math.max(1, logprobs),
    ...toolOptionsOf(request),
    ...formatOf(chatFormatOf(request.text?.format)),
  });
}

function toolOptionsOf({ tools, tool_choice }: ResponseRequest): {
  readonly tools?: readonly Tool[];
} {
  return toolsOf({
    tools: tools?.map(({ type, ...own }) => ({ type, function: own })),
    tool_choice: typeof tool_choice === "object" && tool_choice !== null
      ? { type: "function", function: { name: tool_choice.name } }
      : tool_choice,
  });
}

function chatFormatOf(format: TextFormat | null | undefined): Parameters<typeof formatOf>[0] {
  if (format?.type !== "json_schema") return format as Parameters<typeof formatOf>[0];
  return { type: "json_schema", json_schema: format as NamedSchema };
}
