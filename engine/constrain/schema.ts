// schema.ts - which JSON Schemas a text can be held to: those of which the grammar library enforces
// every word, small enough to be compiled while others wait. A word that it would pass over is
// refused by name: an answer would be taken for one that obeys it.

/** A JSON Schema of words. */
export type SchemaObject = Readonly<Record<string, unknown>>;
/** A JSON Schema; true: any value. */
export type JsonSchema = boolean | SchemaObject;

/** What is wrong with a schema, and where. */
export interface SchemaFault {
  readonly path: readonly (string | number)[];
  /** What follows the value's place in a sentence. */
  readonly sentence: string;
}

/** Schemas within a schema, itself too, at most. */
export const SCHEMAS_MAX = 200;
/** How deep they stand in each other at most; the library's stack is small. */
export const SCHEMA_DEPTH_MAX = 16;
/** Values of all enum lists at most. */
export const ENUM_VALUES_MAX = 500;
/** minLength, maxLength, minItems and maxItems at most. */
export const SCHEMA_COUNT_MAX = 1000;

const types = ["object", "array", "string", "number", "integer", "boolean", "null"];
const annotations = new Set([
  ...["title", "description", "default", "examples", "$schema", "$comment", "deprecated"],
  ...["readOnly", "writeOnly"],
]);
// Words and the types that they are about.
const about: Readonly<Record<string, readonly string[]>> = {
  ...{ properties: ["object"], required: ["object"], additionalProperties: ["object"] },
  ...{ items: ["array"], minItems: ["array"], maxItems: ["array"] },
  ...{ minLength: ["string"], maxLength: ["string"] },
  ...{ minimum: ["integer"], maximum: ["integer"] },
  ...{ exclusiveMinimum: ["integer"], exclusiveMaximum: ["integer"] },
};
const holders = ["$defs", "definitions"] as const;
const reference = /^#\/(\$defs|definitions)\/([^/~%]+)$/;

/** The first fault of a schema; null: a text can be held to it. */
export function faultOfSchema(schema: unknown): SchemaFault | null {
  try {
    new Checker(schema).check(schema, [], 1);
    return null;
  } catch (fault) {
    if (fault instanceof Fault) return fault;
    throw fault;
  }
}

class Fault extends Error implements SchemaFault {
  constructor(readonly path: SchemaFault["path"], readonly sentence: string) {
    super(sentence);
  }
}

type Path = SchemaFault["path"];
type Words = SchemaObject;

class Checker {
  #schemas = 0;
  #values = 0;

  constructor(private readonly root: unknown) {}

  check(schema: unknown, path: Path, depth: number): void {
    if (++this.#schemas > SCHEMAS_MAX) throw new Fault([], `has above ${SCHEMAS_MAX} schemas`);
    if (depth > SCHEMA_DEPTH_MAX) throw new Fault(path, `is deeper than ${SCHEMA_DEPTH_MAX}`);
    if (schema === true) return;
    if (!isObject(schema)) throw new Fault(path, "is neither an object nor true");
    for (const word of Object.keys(schema)) this.#known(schema, word, path);
    this.#choice(schema, path, depth);
    for (const holder of holders) this.#each(schema[holder], [...path, holder], depth);
    this.#each(schema.properties, [...path, "properties"], depth);
    this.#names(schema, path);
    for (const word of ["items", "additionalProperties"]) {
      const held = schema[word];
      if (held === undefined || held === false && word === "additionalProperties") continue;
      this.check(held, [...path, word], depth + 1);
    }
    this.#bounds(schema, path);
  }

  #known(schema: Words, word: string, path: Path): void {
    const at = [...path, word];
    if (annotations.has(word) || ["type", "enum", "const", "anyOf", "$ref"].includes(word)) return;
    if ((holders as readonly string[]).includes(word)) {
      if (path.length > 0) throw new Fault(at, "is not at the schema's root");
      return;
    }
    const wanted = about[word];
    if (wanted === undefined) throw new Fault(at, "is not supported");
    const given = [schema.type].flat();
    if (wanted.some((type) => given.includes(type))) return;
    throw new Fault(at, `is given where type is not ${wanted.join(" or ")}`);
  }

  // What says alone what a value is: the library passes over the words beside it.
  #choice(schema: Words, path: Path, depth: number): void {
    const { type, enum: values, const: value, anyOf, $ref } = schema;
    const choices = ["$ref", "anyOf", "enum", "const"].filter((word) => word in schema);
    const beside = Object.keys(schema).find((word) =>
      word !== choices[0] && !annotations.has(word) &&
      !(holders as readonly string[]).includes(word) &&
      !(word === "type" && ["enum", "const"].includes(choices[0]))
    );
    if (choices.length > 0 && beside !== undefined) {
      throw new Fault([...path, beside], `is given beside ${choices[0]}`);
    }
    if ("type" in schema) this.#types(type, [...path, "type"]);
    if ("$ref" in schema) this.#reference($ref, [...path, "$ref"]);
    if ("enum" in schema) this.#plain(values, type, [...path, "enum"]);
    if ("const" in schema) this.#plain([value], type, [...path, "const"]);
    if ("anyOf" in schema) {
      const list = listOf(anyOf, [...path, "anyOf"]);
      list.forEach((each, at) => this.check(each, [...path, "anyOf", at], depth + 1));
    }
  }

  #types(type: unknown, path: Path): void {
    for (const each of Array.isArray(type) ? listOf(type, path) : [type]) {
      if (types.includes(each as string)) continue;
      throw new Fault(path, `is none of ${types.join(", ")}`);
    }
  }

  // A schema that is itself before any value has begun has no text.
  #reference(value: unknown, path: Path, within: readonly unknown[] = []): void {
    if (within.includes(value)) throw new Fault(path, "leads to itself");
    const follow = (schema: unknown): void => {
      if (!isObject(schema)) return;
      if ("$ref" in schema) this.#reference(schema.$ref, path, [...within, value]);
      if (Array.isArray(schema.anyOf)) schema.anyOf.forEach(follow);
    };
    follow(this.#target(value, path));
  }

  #target(value: unknown, path: Path): unknown {
    if (value === "#") return this.root;
    const [, holder, name] = typeof value === "string" ? value.match(reference) ?? [] : [];
    const held = isObject(this.root) && holder !== undefined ? this.root[holder] : undefined;
    if (isObject(held) && Object.hasOwn(held, name)) return held[name];
    throw new Fault(path, "is neither # nor a name in the root's $defs or definitions");
  }

  #plain(values: unknown, type: unknown, path: Path): void {
    const list = listOf(values, path);
    this.#values += list.length;
    if (this.#values > ENUM_VALUES_MAX) {
      throw new Fault(path, `has above ${ENUM_VALUES_MAX} values`);
    }
    for (const value of list) {
      if (typeof value === "object" && value !== null) {
        throw new Fault(path, "holds no plain value");
      }
      if (typeof value === "string") checkText(value, path);
      const given = [type].flat() as unknown[];
      if (type === undefined || typesOf(value).some((each) => given.includes(each))) continue;
      throw new Fault(path, `holds a value that type ${given.join(", ")} does not let`);
    }
  }

  #each(schemas: unknown, path: Path, depth: number): void {
    if (schemas === undefined) return;
    if (!isObject(schemas)) throw new Fault(path, "is not an object");
    for (const [name, schema] of Object.entries(schemas)) {
      checkText(name, [...path, name]);
      this.check(schema, [...path, name], depth + 1);
    }
  }

  #names({ properties = {}, required = [], additionalProperties }: Words, path: Path): void {
    const names = required as unknown;
    if (!Array.isArray(names)) throw new Fault([...path, "required"], "is not a list");
    for (const name of names) {
      if (typeof name === "string" && Object.hasOwn(properties as Words, name)) continue;
      throw new Fault([...path, "required"], "holds a name that is not among properties");
    }
    // A further name could be one of those that were passed over, with a value of another kind.
    const given = Object.keys(properties as Words).length > 0;
    if (!given || additionalProperties === undefined || additionalProperties === false) return;
    throw new Fault([...path, "additionalProperties"], "is not false beside properties");
  }

  #bounds(schema: Words, path: Path): void {
    for (const [least, most] of [["minItems", "maxItems"], ["minLength", "maxLength"]]) {
      const low = count(schema, least, path);
      const high = count(schema, most, path);
      if (low !== undefined && high !== undefined && low > high) {
        throw new Fault([...path, least], `is above ${most} ${high}`);
      }
    }
    const { low, high } = integerBounds(schema, (word, sentence) => {
      throw new Fault([...path, word], sentence);
    });
    if (low !== undefined && high !== undefined && low > high) {
      throw new Fault(path, `lets no integer from ${low} to ${high}`);
    }
  }
}

/** The least and the largest integer that a schema lets; `refuse` hears of bounds that are none. */
export function integerBounds(
  schema: Words,
  refuse: (word: string, sentence: string) => never,
): { readonly low?: number; readonly high?: number } {
  const bound = (word: string, round: (value: number) => number, outside: number) => {
    const value = schema[word];
    if (value === undefined) return [];
    if (typeof value !== "number") return refuse(word, "is not a number");
    const whole = round(value) + (round(value) === value ? outside : 0);
    return Number.isSafeInteger(whole) ? [whole] : refuse(word, "is above 2^53 - 1");
  };
  const lows = [...bound("minimum", Math.ceil, 0), ...bound("exclusiveMinimum", Math.ceil, 1)];
  const highs = [...bound("maximum", Math.floor, 0), ...bound("exclusiveMaximum", Math.floor, -1)];
  return {
    ...lows.length > 0 ? { low: Math.max(...lows) } : {},
    ...highs.length > 0 ? { high: Math.min(...highs) } : {},
  };
}

function count(schema: Words, word: string, path: Path): number | undefined {
  const value = schema[word];
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0) {
    if (value <= SCHEMA_COUNT_MAX) return value;
    throw new Fault([...path, word], `is above ${SCHEMA_COUNT_MAX}`);
  }
  throw new Fault([...path, word], "is not an integer from 0");
}

// The library's own notation of a grammar takes no text that JSON escapes.
function checkText(text: string, path: Path): void {
  if (text.length <= 200 && text.isWellFormed() && JSON.stringify(text) === `"${text}"`) return;
  throw new Fault(path, "is longer than 200 characters, or has some that JSON escapes");
}

function typesOf(value: unknown): readonly string[] {
  if (value === null) return ["null"];
  if (typeof value === "number" && Number.isInteger(value)) return ["integer", "number"];
  return [typeof value];
}

function listOf(value: unknown, path: Path): readonly unknown[] {
  if (Array.isArray(value) && value.length > 0) return value;
  throw new Fault(path, "is not a list with at least one entry");
}

function isObject(value: unknown): value is Words {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * A schema without faults as the library is given it: annotations left out, no further names where
 * some are listed, and in words that it takes right: of an integer both bounds (of one alone it
 * lets "-"), of a string's length a pattern (it would let control characters).
 */
export function plainSchema(schema: JsonSchema): JsonSchema {
  if (typeof schema === "boolean") return schema;
  const kept = Object.entries(schema).filter(([word]) => !annotations.has(word) && !isBound(word));
  const plain = Object.fromEntries(kept.map(([word, value]) => [word, plainValue(word, value)]));
  const { low, high } = integerBounds(schema, (word) => {
    throw new TypeError(word);
  });
  if (low !== undefined || high !== undefined) {
    plain.minimum = low ?? Number.MIN_SAFE_INTEGER;
    plain.maximum = high ?? Number.MAX_SAFE_INTEGER;
  }
  const { minLength, maxLength } = schema;
  if (minLength !== undefined || maxLength !== undefined) {
    plain.pattern = `^[^"\\\\\\x00-\\x1f]{${minLength ?? 0},${maxLength ?? ""}}$`;
  }
  if (isObject(schema.properties)) plain.additionalProperties = false;
  return plain;
}

const isBound = (word: string) => /^(exclusive)?(minimum|maximum)$|^(min|max)Length$/i.test(word);

function plainValue(word: string, value: unknown): unknown {
  if (word === "anyOf") return (value as JsonSchema[]).map(plainSchema);
  if (word === "items" || word === "additionalProperties") return plainSchema(value as JsonSchema);
  if (word !== "properties" && !(holders as readonly string[]).includes(word)) return value;
  const entries = Object.entries(value as Record<string, JsonSchema>);
  return Object.fromEntries(entries.map(([name, each]) => [name, plainSchema(each)]));
}
