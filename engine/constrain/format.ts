// format.ts - what a generation's text may be held to, its interface and its zod schema.
import { z } from "zod";
import { faultOfSchema, type JsonSchema } from "./schema.ts";

/** JSON that obeys a schema, and the texts around it. */
export interface SchemaFormat {
  /** Words of JSON Schema that a text is held to; others are refused (docs/FORMAT.md). */
  readonly schema: JsonSchema;
  /** Stands before the JSON; default nothing. */
  readonly begin?: string;
  /** Stands behind it; default nothing. */
  readonly end?: string;
}

/** What a text is held to: `json`, any JSON object, or JSON that obeys a schema. */
export type Format = "json" | SchemaFormat;

/** Checks a {@linkcode JsonSchema}. */
export const jsonSchema: z.ZodType<JsonSchema> = z.unknown().superRefine((value, context) => {
  const fault = faultOfSchema(value);
  if (fault === null) return;
  context.addIssue({ code: "custom", path: [...fault.path], message: fault.sentence });
}) as unknown as z.ZodType<JsonSchema>;

// What a grammar's notation takes as it is.
const around = z.string().max(100).regex(/^[\n\x20-\x7e]*$/, {
  error: "has characters beyond ASCII",
});

/** Checks a {@linkcode Format}. */
export const format: z.ZodType<Format> = z.union([
  z.literal("json"),
  z.strictObject({ schema: jsonSchema, begin: around.optional(), end: around.optional() }),
]);
