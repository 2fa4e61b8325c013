// openapi_answers.ts - what answers hold, as /openapi.json tells it: fields that are always there.
// Answers may hold more of them in a later version.

/** A JSON Schema. */
export type Schema = Readonly<Record<string, unknown>>;

const integer: Schema = { type: "integer" };
const number: Schema = { type: "number" };
const text: Schema = { type: "string" };
const flag: Schema = { type: "boolean" };

function object(properties: Readonly<Record<string, Schema>>): Schema {
  return { type: "object", properties, required: Object.keys(properties) };
}

function list(items: Schema): Schema {
  return { type: "array", items };
}

/** The schema of that name in the document. */
export function named(name: string): Schema {
  return { $ref: `#/components/schemas/${name}` };
}

const bytes = object({ near: integer, far: integer, full: integer });

const model = object({
  id: text,
  object: { const: "model" },
  created: integer,
  owned_by: text,
});

const piece: Schema = {
  ...object({ id: integer, text }),
  description:
    "A generated token; with logprobs also logprob, logprobs [[id, logprob]], token and " +
    "texts, the texts of the tokens that they name",
};

const result: Schema = {
  ...object({
    text,
    tokens: list(integer),
    stop: { enum: ["eos", "stop", "length", "cancelled"] },
    usage: object({ promptTokens: integer, completionTokens: integer, cachedTokens: integer }),
    cache: named("CacheStats"),
    timing: { type: "object" },
  }),
};

const held = { id: text, created: integer, expires: integer, length: integer };

/** The schemas of answers, by name. */
export const answers: Readonly<Record<string, Schema>> = {
  Error: object({
    error: object({
      message: text,
      type: { enum: ["invalid_request_error", "server_error"] },
      param: { type: ["string", "null"] },
      code: text,
    }),
  }),
  Status: object({ status: text }),
  Model: model,
  Models: object({ object: { const: "list" }, data: list(named("Model")) }),
  CacheStats: { type: "object", description: "Tokens and bytes held, rows fetched, guesses" },
  CachePlan: object({
    tokens: integer,
    nearBytes: integer,
    farBytes: integer,
    fullBytes: integer,
    ratio: number,
    reservedBytes: integer,
    parts: { type: "object", additionalProperties: integer },
  }),
  Piece: piece,
  GenerateResult: result,
  Generated: object({ result: named("GenerateResult") }),
  GeneratedInSession: object({ result: named("GenerateResult"), length: integer }),
  Session: object({ ...held, busy: flag, bytes, stats: named("CacheStats") }),
  Sessions: object({ data: list(named("Session")) }),
  Store: object({
    ...held,
    bytes: object({ near: integer, far: integer, full: integer, reserved: integer }),
    stats: named("CacheStats"),
  }),
  Stores: object({ data: list(named("Store")) }),
  Stats: {
    ...object({ model: object({ name: text }), contextTokens: integer, running: integer }),
    description: "Also sessionsMax and waiting, and to the operator's key all that is counted",
  },
  Length: object({ length: integer }),
  Deleted: object({ id: text, deleted: { const: true } }),
  Object: { type: "object" },
};
