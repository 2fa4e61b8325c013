// plain.ts - a JSON Schema in those words that the grammar library takes right.
import {
  ANNOTATIONS,
  HOLDERS,
  integerBounds,
  type JsonSchema,
  type SchemaObject,
} from "./schema.ts";

/**
 * A schema without faults as the library is given it:
 * - annotations are left out;
 * - no further names may come where some are listed;
 * - each value of enum and const is a definition of its own, for of several in one place the
 *   library lets mixtures;
 * - an integer between two bounds is a list of values, for of bounds other than 0 and 1 it lets
 *   some beyond;
 * - minLength is a pattern, for it would let control characters.
 */
export function plainSchema(schema: JsonSchema): JsonSchema {
  if (typeof schema === "boolean") return schema;
  const given = HOLDERS.flatMap((holder) => Object.keys(schema[holder] ?? {}));
  const values = new Values(new Set(given));
  const plain = plainOf(schema, values) as SchemaObject;
  const $defs = { ...plain.$defs as object, ...values.definitions };
  return { ...plain, ...Object.keys($defs).length > 0 ? { $defs } : {} };
}

/** Definitions of single values. */
class Values {
  readonly definitions: Record<string, SchemaObject> = {};
  readonly #taken: ReadonlySet<string>;
  readonly #names = new Map<unknown, string>();
  #count = 0;

  constructor(taken: ReadonlySet<string>) {
    this.#taken = taken;
  }

  /** What refers to one of the values. */
  anyOf(values: readonly unknown[]): SchemaObject {
    const [first, ...others] = [...new Set(values)].map((value) => this.#reference(value));
    return others.length === 0 ? first : { anyOf: [first, ...others] };
  }

  #reference(value: unknown): SchemaObject {
    let name = this.#names.get(value);
    if (name === undefined) {
      do name = `value${this.#count++}`; while (this.#taken.has(name));
      this.#names.set(value, name);
      this.definitions[name] = { const: value };
    }
    return { $ref: `#/$defs/${name}` };
  }
}

function plainOf(schema: JsonSchema, values: Values): JsonSchema {
  if (typeof schema === "boolean") return schema;
  const { low, high } = integerBounds(schema, (word) => {
    throw new TypeError(word);
  });
  const chosen = "const" in schema
    ? [schema.const]
    : schema.enum as readonly unknown[] | undefined ?? between(low, high);
  const plain: Record<string, unknown> = chosen === null ? {} : { ...values.anyOf(chosen) };
  for (const [word, value] of Object.entries(schema)) {
    const held = HOLDERS.includes(word as typeof HOLDERS[number]) || word === "properties";
    if (held) plain[word] = plainEach(value as Record<string, JsonSchema>, values);
    else if (word === "anyOf") {
      plain.anyOf = (value as JsonSchema[]).map((it) => plainOf(it, values));
    } else if (word === "items" || word === "additionalProperties") {
      plain[word] = plainOf(value as JsonSchema, values);
    } else if (chosen === null && !ANNOTATIONS.has(word) && !OTHERWISE.has(word)) {
      plain[word] = value;
    }
  }
  if (chosen !== null) return plain;
  if (low !== undefined) plain.minimum = low;
  if (high !== undefined) plain.maximum = high;
  const { minLength } = schema;
  if (minLength !== undefined) plain.pattern = `^[^"\\\\\\x00-\\x1f]{${minLength},}$`;
  if ("properties" in schema) plain.additionalProperties = false;
  return plain;
}

// Words that are told otherwise.
const OTHERWISE = new Set([
  ...["enum", "const", "minLength"],
  ...["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
]);

function between(low: number | undefined, high: number | undefined): readonly number[] | null {
  if (low === undefined || high === undefined) return null;
  return Array.from({ length: high - low + 1 }, (_, at) => low + at);
}

function plainEach(
  schemas: Readonly<Record<string, JsonSchema>>,
  values: Values,
): Record<string, JsonSchema> {
  const entries = Object.entries(schemas);
  return Object.fromEntries(entries.map(([name, schema]) => [name, plainOf(schema, values)]));
}
