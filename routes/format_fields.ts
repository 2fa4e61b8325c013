// format_fields.ts - what a request of OpenAI's API holds its answer to.
import { z } from "zod";
import { type Format, jsonSchema } from "../engine/constrain/format.ts";
import type { JsonSchema } from "../engine/constrain/schema.ts";
import { ignored } from "./fields.ts";

/** A schema with a name of its own. */
export interface NamedSchema {
  /** Left out: any JSON. */
  readonly schema?: JsonSchema;
}

/** The shape of a schema with a name. */
export const namedSchemaFields = {
  name: z.string().min(1).max(64),
  description: ignored,
  schema: jsonSchema.optional(),
  strict: ignored, // it is always obeyed
};

/** Says of a type of format that there is no such. */
export const FORMATS = "is none of text, json_object and json_schema";

/** Formats of a chat. */
export type FormatField =
  | { readonly type: "text" | "json_object" }
  | { readonly type: "json_schema"; readonly json_schema: NamedSchema };

/** Checks {@linkcode FormatField}. */
export const formatField: z.ZodType<FormatField> = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("text") }),
  z.strictObject({ type: z.literal("json_object") }),
  z.strictObject({
    type: z.literal("json_schema"),
    json_schema: z.strictObject(namedSchemaFields),
  }),
], { error: FORMATS });

/** The format that the engine is told of. */
export function formatOf(field: FormatField | null | undefined): { readonly format?: Format } {
  if (!field || field.type === "text") return {};
  if (field.type === "json_object") return { format: "json" };
  const { json_schema } = field as Extract<FormatField, { type: "json_schema" }>;
  return { format: { schema: json_schema.schema ?? true } };
}
