// openapi_bodies.ts - what bodies hold, as /openapi.json tells it: the schemas that judge them.
import { z } from "zod";
import { endOptions, kvStoreOptions, stepOptions, tokenCount } from "../engine/config.ts";
import { generateOptions, promptOptions } from "../engine/config_generate.ts";
import { chatRequest } from "./chat_request.ts";
import { completionRequest } from "./completions_request.ts";
import { nothing } from "./empty.ts";
import { LOCAL_OPTIONS } from "./generate_request.ts";
import type { Schema } from "./openapi_answers.ts";
import { responseRequest } from "./responses_request.ts";
import { SERVER_OPTIONS } from "./store_request.ts";

function schemaOf(schema: z.ZodType): Schema & { readonly properties: Record<string, Schema> } {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  return rest as ReturnType<typeof schemaOf>;
}

function without(schema: z.ZodType, names: readonly string[], more: Record<string, Schema> = {}) {
  const whole = schemaOf(schema);
  const left = Object.entries(whole.properties).filter(([name]) => !names.includes(name));
  return { ...whole, properties: { ...Object.fromEntries(left), ...more } };
}

/** The schemas of bodies, by name. */
export function bodies(): Readonly<Record<string, Schema>> {
  const stream = { type: "boolean", default: false };
  return {
    ChatRequest: schemaOf(chatRequest),
    CompletionRequest: schemaOf(completionRequest),
    ResponseRequest: schemaOf(responseRequest),
    Nothing: schemaOf(nothing),
    GenerateRequest: without(generateOptions, LOCAL_OPTIONS, { stream }),
    AppendRequest: without(promptOptions, LOCAL_OPTIONS),
    TruncateRequest: schemaOf(tokenCount),
    StoreRequest: {
      ...without(kvStoreOptions, SERVER_OPTIONS, {
        far: { const: "ram" },
        profile: { const: "none" },
      }),
      required: ["layers", "kvHeads", "queryHeads", "headDim", "contextTokens"],
    },
    StepRequest: schemaOf(stepOptions),
    EndRequest: schemaOf(endOptions),
  };
}
