// conversation.ts - turns of a conversation and the tools that a model may call in it, their
// interfaces and their zod schemas. Names of fields are those that chat templates read.
import { z } from "zod";

/** One turn of a conversation. */
export interface Message {
  /** Who speaks; what becomes of it is up to the model's chat template. */
  readonly role: "system" | "user" | "assistant" | "tool";
  /** What is said. Special tokens in it are recognised, as everywhere. */
  readonly content: string;
  /** Of an assistant: what it called instead of, or after, saying anything. */
  readonly tool_calls?: readonly MessageCall[];
  /** Of a tool: the call that this is the result of. */
  readonly tool_call_id?: string;
  /** Of a tool: its name. */
  readonly name?: string;
}

/** A call that an assistant made. */
export interface MessageCall {
  /** By it the result is told apart. */
  readonly id?: string;
  /** The one kind. */
  readonly type: "function";
  /** What was called, and with what: templates write the arguments as JSON. */
  readonly function: {
    readonly name: string;
    readonly arguments: Readonly<Record<string, unknown>>;
  };
}

/** A function that a model may call. */
export interface Tool {
  /** The one kind. */
  readonly type: "function";
  /** Its name, what it does, and the JSON Schema of its arguments; default: it takes none. */
  readonly function: {
    readonly name: string;
    readonly description?: string;
    readonly parameters?: Readonly<Record<string, unknown>>;
  };
}

/** Tools of a request at most. */
export const TOOLS_MAX = 128;

const functionName = z.string().regex(/^[a-zA-Z0-9_.-]{1,64}$/, {
  error: "is not 1 to 64 of letters, digits, _, . and -",
});

const messageCall: z.ZodType<MessageCall> = z.strictObject({
  id: z.string().max(200).optional(),
  type: z.literal("function"),
  function: z.strictObject({
    name: functionName,
    arguments: z.record(z.string(), z.unknown()),
  }),
});

const message: z.ZodType<Message> = z.strictObject({
  role: z.enum(["system", "user", "assistant", "tool"]),
  content: z.string(),
  tool_calls: z.array(messageCall).min(1).optional(),
  tool_call_id: z.string().max(200).optional(),
  name: z.string().max(200).optional(),
});

/** Checks the messages of a conversation. */
export const messages: z.ZodType<readonly Message[]> = z.array(message).min(1);

/** Checks the name of a function. */
export { functionName };

/** Checks the tools of a conversation. */
export const tools: z.ZodType<readonly Tool[]> = z.array(z.strictObject({
  type: z.literal("function"),
  function: z.strictObject({
    name: functionName,
    description: z.string().optional(),
    parameters: z.record(z.string(), z.unknown()).optional(),
  }),
})).min(1).refine(({ length }) => length <= TOOLS_MAX, {
  error: `has above ${TOOLS_MAX} entries`,
});
