// schema.ts - which JSON Schemas a text can be held to: those of which the grammar library enforces
// every word, small enough to be compiled soon. A word that it would pass over is refused by name:
// an answer would be taken for one that obeys it.

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

// A schema at these limits mostly takes about a second to be compiled with a vocabulary of 50,000,
// others hundredths of one. The library's stack is small: it breaks at about twice the depth.

/** Characters of a schema as JSON at most. */
export const SCHEMA_TEXT_MAX = 1 << 14;
/**
 * Schemas within a schema, itself too, at most; a string with minLength counts as so many more.
 */
export const SCHEMAS_MAX = 200;
/** Properties of an object at most. */
export const PROPERTIES_MAX = 64;
/** How deep schemas stand in each other at most. */
export const SCHEMA_DEPTH_MAX = 16;
/** Depths of a schema and of what it refers to at most, added up. */
export const SCHEMA_DEPTHS_MAX = 40;
/** Values of all enum lists and of integers between two bounds at most. */
export const ENUM_VALUES_MAX = 500;
/** minItems and maxItems at most. */
export const ITEMS_MAX = 1000;

const types = ["object", "array", "string", "number", "integer", "boolean", "null"];
/** Words that say nothing of a value. */
export const ANNOTATIONS: ReadonlySet<string> = new Set([
  ...["title", "description", "default", "examples", "$schema", "$comment", "deprecated"],
  ...["readOnly", "writeOnly"],
]);
// Words and the types that they are about.
const about: Readonly<Record<string, readonly string[]>> = {
  ...{ properties: ["object"], required: ["object"], additionalProperties: ["object"] },
  ...{ items: ["array"], minItems: ["array"], maxItems: ["array"] },
  minLength: ["string"],
  ...{ minimum: ["integer"], maximum: ["integer"] },
  ...{ exclusiveMinimum: ["integer"], exclusiveMaximum: ["integer"] },
};
/** Words that hold definitions. */
export const HOLDERS = ["$defs", "definitions"] as const;
const reference = /^#\/(\$defs|definitions)\/([^/~%]+)$/;

/**
 * The first fault of a schema; null: a text can be held to it. Where its definitions do not refer
 * to each other, their depths may be `depthsMax` alone.
 */
export function faultOfSchema(
  schema: unknown,
  depthsMax: number = SCHEMA_DEPTHS_MAX,
): SchemaFault | null {
  try {
    new Checker(schema, depthsMax).whole();
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
type Visit = (schema: unknown, path: Path) => void;
type Words = SchemaObject;

class Checker {
  #schemas = 0;
  #depths = 0;
  #values = 0;
  #sound = new Set<unknown>(); // references that do not lead to themselves

  constructor(private readonly root: unknown, private readonly depthsMax: number) {}

  whole(): void {
    this.#tree(this.root, []);
    if (JSON.stringify(this.root).length <= SCHEMA_TEXT_MAX) return;
    throw new Fault([], `is longer than ${SCHEMA_TEXT_MAX} characters`);
  }

  // A schema that is no part of another.
  #tree(schema: unknown, path: Path): void {
    const deepest = this.#check(schema, path, 1);
    this.#depths += deepest;
    if (this.#depths <= this.depthsMax) return;
    throw new Fault([], `and its definitions are deeper than ${this.depthsMax} in all`);
  }

  // How deep the schema goes.
  #check(schema: unknown, path: Path, depth: number): number {
    this.#count(1);
    if (depth > SCHEMA_DEPTH_MAX) throw new Fault(path, `is deeper than ${SCHEMA_DEPTH_MAX}`);
    if (schema === true) return depth;
    if (!isObject(schema)) throw new Fault(path, "is neither an object nor true");
    for (const word of Object.keys(schema)) this.#known(schema, word, path);
    let deepest = depth;
    const within = (each: unknown, at: Path) => {
      deepest = Math.max(deepest, this.#check(each, at, depth + 1));
    };
    this.#choice(schema, path, within);
    for (const holder of HOLDERS) {
      this.#each(schema[holder], [...path, holder], (each, at) => this.#tree(each, at));
    }
    this.#each(schema.properties, [...path, "properties"], within);
    this.#names(schema, path);
    for (const word of ["items", "additionalProperties"]) {
      const held = schema[word];
      if (held === undefined || held === false && word === "additionalProperties") continue;
      within(held, [...path, word]);
    }
    this.#bounds(schema, path);
    return deepest;
  }

  #countValues(values: number, path: Path): void {
    this.#values += values;
    if (this.#values <= ENUM_VALUES_MAX) return;
    throw new Fault(path, `and what is before it have above ${ENUM_VALUES_MAX} values`);
  }

  #count(schemas: number): void {
    this.#schemas += schemas;
    if (this.#schemas > SCHEMAS_MAX) throw new Fault([], `has above ${SCHEMAS_MAX} schemas`);
  }

  #known(schema: Words, word: string, path: Path): void {
    const at = [...path, word];
    if (ANNOTATIONS.has(word) || ["type", "enum", "const", "anyOf", "$ref"].includes(word)) return;
    if ((HOLDERS as readonly string[]).includes(word)) {
      if (path.length > 0) throw new Fault(at, "is not at the schema's root");
      return;
    }
    const wanted = about[word];
    if (wanted === undefined) throw new Fault(at, "is not supported");
    const given = [schema.type].flat();
    // The library gets words about integers otherwise (plainSchema): these stand alone.
    const alone = given.length === 1 || wanted[0] !== "integer";
    if (alone && wanted.some((type) => given.includes(type))) return;
    throw new Fault(at, `is given where type is not ${wanted.join(" or ")}`);
  }

  // What says alone what a value is: the library passes over the words beside it.
  #choice(schema: Words, path: Path, within: Visit): void {
    const { type, enum: values, const: value, anyOf, $ref } = schema;
    const choices = ["$ref", "anyOf", "enum", "const"].filter((word) => word in schema);
    const beside = Object.keys(schema).find((word) =>
      word !== choices[0] && !ANNOTATIONS.has(word) &&
      !(HOLDERS as readonly string[]).includes(word) &&
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
      list.forEach((each, at) => within(each, [...path, "anyOf", at]));
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
    if (this.#sound.has(value)) return;
    if (within.includes(value)) throw new Fault(path, "leads to itself");
    const follow = (schema: unknown): void => {
      if (!isObject(schema)) return;
      if ("$ref" in schema) this.#reference(schema.$ref, path, [...within, value]);
      if (Array.isArray(schema.anyOf)) schema.anyOf.forEach(follow);
    };
    follow(this.#target(value, path));
    this.#sound.add(value);
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
    this.#countValues(list.length, path);
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

  #each(schemas: unknown, path: Path, visit: Visit): void {
    if (schemas === undefined) return;
    if (!isObject(schemas)) throw new Fault(path, "is not an object");
    for (const [name, schema] of Object.entries(schemas)) {
      checkText(name, [...path, name]);
      visit(schema, [...path, name]);
    }
  }

  #names({ properties = {}, required = [], additionalProperties }: Words, path: Path): void {
    const names = required as unknown;
    const count = Object.keys(properties as Words).length;
    if (count > PROPERTIES_MAX) {
      throw new Fault([...path, "properties"], `has ${count} entries, above ${PROPERTIES_MAX}`);
    }
    if (!Array.isArray(names)) throw new Fault([...path, "required"], "is not a list");
    for (const name of names) {
      if (typeof name === "string" && Object.hasOwn(properties as Words, name)) continue;
      throw new Fault([...path, "required"], "holds a name that is not among properties");
    }
    // A further name could be one of those that were passed over, with a value of another kind.
    if (count === 0 || additionalProperties === undefined || additionalProperties === false) return;
    throw new Fault([...path, "additionalProperties"], "is not false beside properties");
  }

  #bounds(schema: Words, path: Path): void {
    const [least, most] = [count(schema, "minItems", path), count(schema, "maxItems", path)];
    if (least !== undefined && most !== undefined && least > most) {
      throw new Fault([...path, "minItems"], `is above maxItems ${most}`);
    }
    this.#count(count(schema, "minLength", path) ?? 0);
    const { low, high } = integerBounds(schema, (word, sentence) => {
      throw new Fault([...path, word], sentence);
    });
    if (low !== undefined && high !== undefined) {
      if (low > high) throw new Fault(path, `lets no integer from ${low} to ${high}`);
      this.#countValues(high - low + 1, path);
    } else if (![undefined, 0, 1].includes(low) || ![undefined, 0, -1].includes(high)) {
      throw new Fault(path, "bounds integers on one side, and not at 0 or 1");
    }
  }
}

/**
 * The least and the largest integer that a schema lets; `refuse` hears of bounds that are none.
 * Bounds of all that a double holds, which some libraries write, are left out.
 */
export function integerBounds(
  schema: Words,
  refuse: (word: string, sentence: string) => never,
): { readonly low?: number; readonly high?: number } {
  const bound = (word: string, round: (value: number) => number, outside: number) => {
    const value = schema[word];
    if (value === undefined) return [];
    if (typeof value !== "number") return refuse(word, "is not a number");
    const whole = round(value) + (round(value) === value ? outside : 0);
    if (Math.abs(value) >= Number.MAX_SAFE_INTEGER) return [];
    return [whole];
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
    if (value <= ITEMS_MAX) return value;
    throw new Fault([...path, word], `is above ${ITEMS_MAX}`);
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
