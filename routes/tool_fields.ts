// tool_fields.ts - tools and what is said of them in requests of OpenAI's API.
import { z } from "zod";
import type { ToolChoice } from "../engine/config_generate.ts";
import { functionName, type MessageCall, type Tool, TOOLS_MAX } from "../engine/conversation.ts";
import { ignored, refused } from "./fields.ts";

/** Tools as a chat has them. */
export interface ToolFields {
  readonly tools?:
    | readonly {
      readonly type: "function";
      readonly function: {
        readonly name: string;
        readonly description?: string | null;
        readonly parameters?: Readonly<Record<string, unknown>> | null;
      };
    }[]
    | null;
  readonly tool_choice?:
    | "none"
    | "auto"
    | "required"
    | { readonly type: "function"; readonly function: { readonly name: string } }
    | null;
  /** false: of several calls only the first is told. */
  readonly parallel_tool_calls?: boolean | null;
}

/** A call as clients know it: its arguments are JSON in a text. */
export interface CallFields {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; readonly arguments: string };
}

/** The words and the shape of a function. */
export const functionFields = {
  name: functionName,
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: ignored, // arguments obey the schema where a call is required, strict or not
};

const choiceWord = z.enum(["none", "auto", "required"]);

/** Tools, as many as there may be. */
export function toolList<Item extends z.ZodType>(item: Item) {
  return z.array(item).refine(({ length }) => length <= TOOLS_MAX, {
    error: `has above ${TOOLS_MAX} entries`,
  }).nullish();
}

/** The choice of a tool; `named` is how its name is told. */
export function choiceField<Named extends z.ZodType>(named: Named) {
  return z.union([choiceWord, named], {
    error: "is none of none, auto, required and the name of a function",
  }).nullish();
}

/** Check {@linkcode ToolFields}. */
export const toolFields = {
  tools: toolList(z.strictObject({
    type: z.literal("function"),
    function: z.strictObject(functionFields),
  })),
  tool_choice: choiceField(z.strictObject({
    type: z.literal("function"),
    function: z.strictObject({ name: functionName }),
  })),
  parallel_tool_calls: z.boolean().nullish(),
};

/** Checks a call that an assistant made. */
export const callFields = z.strictObject({
  id: z.string().max(200),
  type: z.literal("function"),
  function: z.strictObject({ name: functionName, arguments: z.string() }),
});

/** What the engine is told of tools: nothing where none may be called. */
export function toolsOf(
  { tools, tool_choice }: ToolFields,
): { readonly tools?: readonly Tool[]; readonly toolChoice?: ToolChoice } {
  const given = (tools ?? []).map(({ function: { name, description, parameters } }): Tool => ({
    type: "function",
    function: {
      name,
      ...typeof description === "string" ? { description } : {},
      ...parameters ? { parameters } : {},
    },
  }));
  const choice = choiceOf(tool_choice, given);
  if (choice === "none" || given.length === 0) return {};
  return { tools: given, ...choice === "auto" ? {} : { toolChoice: choice } };
}

function choiceOf(choice: ToolFields["tool_choice"], tools: readonly Tool[]): ToolChoice | "none" {
  if (choice === undefined || choice === null || choice === "none" || choice === "auto") {
    return choice ?? "auto";
  }
  if (choice === "required") {
    if (tools.length > 0) return choice;
    throw refused("tool_choice", "required is given without tools");
  }
  const { name } = choice.function;
  if (tools.some((tool) => tool.function.name === name)) return { name };
  throw refused("tool_choice", `${name} is none of the tools`);
}

/** A call as chat templates read it. `path` names it in errors. */
export function messageCallOf(
  { id, type, function: { name, arguments: text } }: CallFields,
  path: string,
): MessageCall {
  const given = objectIn(text);
  if (given !== null) return { id, type, function: { name, arguments: given } };
  throw refused(`${path}.function.arguments`, `${text.slice(0, 60) || '""'} is not a JSON object`);
}

function objectIn(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
