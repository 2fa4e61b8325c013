// calls.ts - how models write calls of tools, and the format that makes one do it.
import type { Tool } from "../conversation.ts";
import type { SchemaFormat } from "./format.ts";
import type { SchemaObject } from "./schema.ts";

/**
 * `hermes`: <tool_call>{"name", "arguments"}</tool_call>, as Qwen and Hermes do; `llama`:
 * {"name", "parameters"}, as Llama 3; `mistral`: [TOOL_CALLS] [{"name", "arguments"}].
 */
export type CallStyle = "hermes" | "llama" | "mistral";

/** How a model writes calls, by its chat template; null: in no way that is known. */
export function callStyleOf(template: string): CallStyle | null {
  if (template.includes("<function=")) return null; // arguments as XML
  if (template.includes("<tool_call>")) return "hermes";
  if (template.includes("[TOOL_CALLS]")) return "mistral";
  const llama = template.includes("<|python_tag|>") || template.includes('"parameters"');
  return llama ? "llama" : null;
}

/** What holds a text to one call of one of the tools. */
export function callFormat(style: CallStyle, tools: readonly Tool[]): SchemaFormat {
  const named = style === "llama" ? "parameters" : "arguments";
  const calls = tools.map(({ function: { name } }): SchemaObject => ({
    type: "object",
    properties: { name: { const: name }, [named]: { $ref: `#/$defs/${name}` } },
    required: ["name", named],
    additionalProperties: false,
  }));
  const call: SchemaObject = calls.length === 1 ? calls[0] : { anyOf: calls };
  const $defs = Object.assign({}, ...tools.map(definitionsOf));
  if (style === "llama") return { schema: { ...call, $defs } };
  if (style === "hermes") {
    return { begin: "<tool_call>\n", schema: { ...call, $defs }, end: "\n</tool_call>" };
  }
  return { schema: { type: "array", items: call, minItems: 1, maxItems: 1, $defs } };
}

const noArguments: SchemaObject = { type: "object", properties: {}, additionalProperties: false };

// A tool's parameters, and what they refer to, under names of their own.
function definitionsOf(
  { function: { name, parameters = noArguments } }: Tool,
): Record<string, unknown> {
  const { $defs, definitions, ...schema } = parameters as Record<string, unknown>;
  const found: Record<string, unknown> = { [name]: moved(schema, name) };
  for (const holder of [$defs, definitions]) {
    for (const [inner, each] of Object.entries(holder ?? {})) {
      found[`${name}:${inner}`] = moved(each, name);
    }
  }
  return found;
}

function moved(value: unknown, name: string): unknown {
  if (Array.isArray(value)) return value.map((each) => moved(each, name));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([word, each]) => {
    if (word !== "$ref" || typeof each !== "string") return [word, moved(each, name)];
    return [
      word,
      `#/$defs/${each.replace(/^#(\/(\$defs|definitions)\/)?/, `${name}:`)}`
        .replace(/:$/, ""),
    ];
  });
  return Object.fromEntries(entries);
}
