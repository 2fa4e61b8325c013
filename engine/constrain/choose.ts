// choose.ts - what a request's text is held to, and what that asks of its other options.
import type { GenerateOptions } from "../config_generate.ts";
import type { Tool } from "../conversation.ts";
import { SpecacheError } from "../errors.ts";
import { callFormat, type CallStyle } from "./calls.ts";
import type { Format, SchemaFormat } from "./format.ts";
import { faultOfSchema } from "./schema.ts";

/**
 * The format of a request; null: its text is free. `style` tells how the model writes calls.
 *
 * @throws {SpecacheError} argument; unsupported: it writes them in no way that is known
 */
export function formatOf(
  { format, tools, toolChoice = "auto", stop = [] }: Omit<GenerateOptions, "signal">,
  style: () => CallStyle | null,
): Format | null {
  if (format === undefined && toolChoice === "auto") return null;
  if ([stop].flat().length > 0) throw refused("stop", "has no use where the text has a format");
  if (toolChoice === "auto") return format!;
  if (format !== undefined) throw refused("toolChoice", "is given beside format");
  const calls = chosen(tools ?? [], toolChoice);
  for (const tool of calls) checkParameters(tools!.indexOf(tool), tool);
  const known = style();
  if (known !== null) return checked(callFormat(known, calls));
  const sentence = "the model's chat template writes calls in no way that is known, so none can " +
    "be required";
  throw new SpecacheError("unsupported", `Cannot generate: ${sentence}`, {
    details: { name: "toolChoice" },
  });
}

function chosen(
  tools: readonly Tool[],
  choice: Exclude<GenerateOptions["toolChoice"], "auto" | undefined>,
): readonly Tool[] {
  if (choice === "required") {
    if (tools.length > 0) return tools;
    throw refused("toolChoice", "required is given without tools");
  }
  const tool = tools.find((each) => each.function.name === choice.name);
  if (tool !== undefined) return [tool];
  throw refused("toolChoice", `${choice.name} is none of the tools`);
}

// Tools do not refer to each other's parameters.
function checked(format: SchemaFormat): SchemaFormat {
  const fault = faultOfSchema(format.schema, Infinity);
  if (fault === null) return format;
  throw refused("tools", `taken together: the schema of a call ${fault.sentence}`);
}

function checkParameters(at: number, { function: { parameters } }: Tool): void {
  const fault = parameters === undefined ? null : faultOfSchema(parameters);
  if (fault === null) return;
  const path = ["parameters", ...fault.path].join(".");
  throw refused(`tools[${at}].function.${path}`, fault.sentence);
}

function refused(name: string, sentence: string): SpecacheError {
  return new SpecacheError("argument", `Cannot generate: ${name} ${sentence}`, {
    details: { name },
  });
}
