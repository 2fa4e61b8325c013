// responses_input.ts - what a request to /v1/responses goes on from, as messages.
import { z } from "zod";
import { functionName, type Message, type MessageCall } from "../engine/conversation.ts";
import { ignored } from "./fields.ts";
import { messageCallOf } from "./tool_fields.ts";

/** What is said: parts become lines. */
type Said = string | readonly { readonly type: string; readonly text: string }[];

/** A turn, a call of a tool, or what came of one. */
export type Item =
  | {
    readonly type?: "message";
    readonly role: "system" | "developer" | "user" | "assistant";
    readonly content: Said;
  }
  | {
    readonly type: "function_call";
    readonly call_id: string;
    readonly name: string;
    readonly arguments: string;
  }
  | { readonly type: "function_call_output"; readonly call_id: string; readonly output: Said };

// An item that comes back has them.
const told = { id: ignored, status: ignored };

const said = z.union([
  z.string(),
  z.array(z.strictObject({
    type: z.enum(["input_text", "output_text", "text"]),
    text: z.string(),
    annotations: ignored,
    logprobs: ignored,
  })).min(1),
], { error: "is neither a text nor a list of parts of text" });

const message = z.strictObject({
  type: z.literal("message").optional(),
  role: z.enum(["system", "developer", "user", "assistant"]),
  content: said,
  phase: ignored,
  ...told,
});

const call = z.strictObject({
  type: z.literal("function_call"),
  call_id: z.string().max(200),
  name: functionName,
  arguments: z.string(),
  ...told,
});

const output = z.strictObject({
  type: z.literal("function_call_output"),
  call_id: z.string().max(200),
  output: said,
  ...told,
});

/** Checks a list of {@linkcode Item}. */
export const items: z.ZodType<readonly Item[]> = z.array(z.union([message, call, output], {
  error: "is neither a message nor a function_call nor a function_call_output",
})).min(1);

/** The conversation of a request. Calls belong to the assistant's turn before them. */
export function messagesIn(
  input: string | readonly Item[],
  instructions: string | null,
): Message[] {
  const messages: Message[] = [];
  if (instructions !== null) messages.push({ role: "system", content: instructions });
  if (typeof input === "string") return [...messages, { role: "user", content: input }];
  for (const [at, item] of input.entries()) {
    if (item.type === "function_call_output") {
      messages.push({ role: "tool", content: textOf(item.output), tool_call_id: item.call_id });
    } else if (item.type === "function_call") {
      const last = messages.at(-1);
      const turn = last?.role === "assistant" ? messages.pop()! : null;
      const calls = [...turn?.tool_calls ?? [], callOf(item, at)];
      messages.push({ role: "assistant", content: turn?.content ?? "", tool_calls: calls });
    } else {
      const role = item.role === "developer" ? "system" : item.role;
      messages.push({ role, content: textOf(item.content) });
    }
  }
  return messages;
}

function callOf(item: Extract<Item, { type: "function_call" }>, at: number): MessageCall {
  const { call_id: id, name, arguments: given } = item;
  const named = { name, arguments: given };
  return messageCallOf({ id, type: "function", function: named }, `input[${at}]`);
}

function textOf(said: Said): string {
  return typeof said === "string" ? said : said.map(({ text }) => text).join("\n");
}
