import { callFormat, callStyleOf } from "../../engine/constrain/calls.ts";
import { formatOf } from "../../engine/constrain/choose.ts";
import { faultOfSchema } from "../../engine/constrain/schema.ts";
import type { GenerateOptions, Tool } from "../../mod.ts";
import { assertEquals, test } from "../harness.ts";
import { assertRefused } from "../engine/support.ts";

test("how a model writes calls follows from its template", () => {
  const templates: readonly [template: string, style: string | null][] = [
    ["{{ '<tool_call>' }}", "hermes"],
    ["<tool_call><function=", null],
    ["{{ '[TOOL_CALLS]' }}", "mistral"],
    ["<|python_tag|>", "llama"],
    ['{"name": n, "parameters": p}', "llama"],
    ["{{ messages }}", null],
  ];
  for (const [template, style] of templates) assertEquals(callStyleOf(template), style, template);
});

const tool = (name: string, parameters?: Tool["function"]["parameters"]): Tool => ({
  type: "function",
  function: { name, ...parameters ? { parameters } : {} },
});

test("parameters keep what they refer to, under the names of their tools", () => {
  const list = {
    type: "object",
    properties: { a: { $ref: "#/$defs/a" }, b: { $ref: "#/definitions/b" }, c: { $ref: "#" } },
    $defs: { a: { type: "string" } },
    definitions: { b: { type: "array", items: { $ref: "#/$defs/a" } } },
  };
  const { schema } = callFormat("hermes", [tool("f", list), tool("g")]);
  assertEquals(faultOfSchema(schema), null);
  const { $defs } = schema as { $defs: Record<string, object> };
  assertEquals($defs, {
    f: {
      type: "object",
      properties: {
        a: { $ref: "#/$defs/f:a" },
        b: { $ref: "#/$defs/f:b" },
        c: { $ref: "#/$defs/f" },
      },
    },
    "f:a": { type: "string" },
    "f:b": { type: "array", items: { $ref: "#/$defs/f:a" } },
    g: { type: "object", properties: {}, additionalProperties: false },
  });
});

const tools = [tool("f"), tool("g")];

test("a choice of a tool becomes a format, and none where the model may choose", () => {
  const style = () => "llama" as const;
  assertEquals(formatOf({}, style), null);
  assertEquals(formatOf({ tools }, style), null);
  assertEquals(formatOf({ format: "json" }, style), "json");
  assertEquals(
    formatOf({ tools, toolChoice: { name: "g" } }, style),
    callFormat(style(), [tools[1]]),
  );
  assertEquals(formatOf({ tools, toolChoice: "required" }, style), callFormat(style(), tools));
});

test("a choice that cannot be had is refused by name", async () => {
  const bad = tool("f", { type: "object", properties: { a: { pattern: "b" } } });
  const refused: readonly [
    options: GenerateOptions,
    code: "argument" | "unsupported",
    text: string,
  ][] = [
    [{ toolChoice: "required" }, "argument", "toolChoice required is given without tools"],
    [{ tools, toolChoice: { name: "h" } }, "argument", "toolChoice h is none of the tools"],
    [{ tools, toolChoice: "required", format: "json" }, "argument", "is given beside format"],
    [{ format: "json", stop: "a" }, "argument", "stop has no use where the text has a format"],
    [
      { tools: [bad], toolChoice: "required" },
      "argument",
      "tools[0].function.parameters.properties.a.pattern is not supported",
    ],
    [{ tools, toolChoice: "required" }, "unsupported", "writes calls in no way that is known"],
  ];
  for (const [options, code, text] of refused) {
    await assertRefused(() => formatOf(options, () => null), code, text);
  }
});
