// Which JSON Schemas a text can be held to, and what the others are refused by.
import {
  ENUM_VALUES_MAX,
  faultOfSchema,
  ITEMS_MAX,
  PROPERTIES_MAX,
  SCHEMA_DEPTH_MAX,
  SCHEMA_DEPTHS_MAX,
  SCHEMA_TEXT_MAX,
  SCHEMAS_MAX,
} from "../../engine/constrain/schema.ts";
import { plainSchema } from "../../engine/constrain/plain.ts";
import { assertEquals, assertMatch, test } from "../harness.ts";

const string = { type: "string" };
const properties = (count: number, each: unknown = string) =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`p${at}`, each]));

function nested(depth: number): unknown {
  return depth === 1 ? string : { type: "array", items: nested(depth - 1) };
}

const taken: readonly unknown[] = [
  true,
  {},
  { title: "a", description: "b", default: 3, examples: [1], $schema: "c", deprecated: true },
  { type: ["string", "null"] },
  { type: "object", properties: { a: string, b: true }, required: ["a"] },
  { type: "object", properties: { a: string }, additionalProperties: false },
  { type: "object", additionalProperties: string },
  { type: "object", properties: {}, additionalProperties: true },
  { type: "array", items: string, minItems: 0, maxItems: ITEMS_MAX },
  { type: "string", minLength: SCHEMAS_MAX - 1 },
  { type: "integer", minimum: -3, exclusiveMaximum: 4.5 },
  { enum: ["a", 1, null, true, 2.5] },
  { type: ["string", "integer"], enum: ["a", 1] },
  { const: "a", description: "b" },
  { anyOf: [string, { type: "null" }], title: "a" },
  { $ref: "#/$defs/a", $defs: { a: { type: "array", items: { $ref: "#" } } } },
  { type: "array", items: { $ref: "#/definitions/a" }, definitions: { a: string } },
  { type: "object", properties: properties(PROPERTIES_MAX) },
  { anyOf: Array(SCHEMAS_MAX - 1).fill(string) },
  { anyOf: Array(SCHEMAS_MAX - 1).fill({ type: "integer", minimum: 0 }) },
  { type: "integer", minimum: -(2 ** 53) + 1, maximum: 2 ** 53 - 1 },
  { type: "integer", exclusiveMaximum: 0, minimum: -2e300 },
  { type: "integer", minimum: 1, maximum: ENUM_VALUES_MAX },
  { anyOf: [{ $ref: "#/$defs/a" }], $defs: { a: nested(16), b: nested(16), c: nested(6) } },
  { enum: Array.from({ length: ENUM_VALUES_MAX }, (_, at) => at) },
  nested(SCHEMA_DEPTH_MAX),
];

for (const schema of taken) {
  test(`a schema is taken: ${JSON.stringify(schema).slice(0, 70)}`, () => {
    assertEquals(faultOfSchema(schema), null);
  });
}

const refused: readonly [schema: unknown, path: string, sentence: RegExp][] = [
  [false, "", /^is neither an object nor true$/],
  ["string", "", /^is neither an object nor true$/],
  [[], "", /^is neither an object nor true$/],
  [{ type: "text" }, "type", /^is none of object, array, string, /],
  [{ type: [] }, "type", /^is not a list with at least one entry$/],
  [{ type: "string", pattern: "a" }, "pattern", /^is not supported$/],
  [{ type: "string", format: "date" }, "format", /^is not supported$/],
  [{ allOf: [{}] }, "allOf", /^is not supported$/],
  [{ not: {} }, "not", /^is not supported$/],
  [{ type: "array", uniqueItems: true }, "uniqueItems", /^is not supported$/],
  [{ type: "array", items: [string] }, "items", /^is neither an object nor true$/],
  [{ type: "array", items: { a: 1 } }, "items.a", /^is not supported$/],
  [{ properties: { a: string } }, "properties", /^is given where type is not object$/],
  [{ type: "string", maximum: 3 }, "maximum", /^is given where type is not integer$/],
  [{ type: "number", maximum: 3 }, "maximum", /^is given where type is not integer$/],
  [{ type: "object", properties: [] }, "properties", /^is not an object$/],
  [{ type: "object", properties: { a: 3 } }, "properties.a", /^is neither an object nor true$/],
  [{ type: "object", required: "a" }, "required", /^is not a list$/],
  [{ type: "object", required: ["a"] }, "required", /^holds a name that is not among properties$/],
  [
    { type: "object", properties: { toString: string }, required: ["valueOf"] },
    "required",
    /^holds a name that is not among properties$/,
  ],
  [
    { type: "object", properties: { a: string }, additionalProperties: true },
    "additionalProperties",
    /^is not false beside properties$/,
  ],
  [{ type: "object", properties: { 'a"': string } }, 'properties.a"', /some that JSON escapes$/],
  [{ type: "object", properties: { ["a".repeat(201)]: {} } }, "properties.aaa", /^is longer than/],
  [{ enum: [] }, "enum", /^is not a list with at least one entry$/],
  [{ enum: [{}] }, "enum", /^holds no plain value$/],
  [{ enum: ["a\n"] }, "enum", /some that JSON escapes$/],
  [{ const: "\ud800" }, "const", /some that JSON escapes$/],
  [{ type: "string", enum: ["a", 1] }, "enum", /^holds a value that type string does not let$/],
  [{ type: "integer", const: 1.5 }, "const", /^holds a value that type integer does not let$/],
  [{ enum: ["a"], const: "a" }, "const", /^is given beside enum$/],
  [{ anyOf: [string], type: "string" }, "type", /^is given beside anyOf$/],
  [{ anyOf: [] }, "anyOf", /^is not a list with at least one entry$/],
  [{ anyOf: [string, { a: 1 }] }, "anyOf.1.a", /^is not supported$/],
  [{ $ref: "#/$defs/a" }, "$ref", /^is neither # nor a name in the root's/],
  [{ $ref: "https://example.com" }, "$ref", /^is neither # nor a name in the root's/],
  [{ $ref: "#/$defs/toString", $defs: {} }, "$ref", /^is neither # nor a name in the root's/],
  [{ $ref: "#" }, "$ref", /^leads to itself$/],
  [
    {
      $ref: "#/$defs/a",
      $defs: { a: { anyOf: [string, { $ref: "#/$defs/b" }] }, b: { $ref: "#" } },
    },
    "$ref",
    /^leads to itself$/,
  ],
  [{ type: "array", items: { $defs: {} } }, "items.$defs", /^is not at the schema's root$/],
  [{ type: "array", minItems: -1 }, "minItems", /^is not an integer from 0$/],
  [{ type: "array", minItems: 1.5 }, "minItems", /^is not an integer from 0$/],
  [{ type: "array", maxItems: ITEMS_MAX + 1 }, "maxItems", /^is above 1000$/],
  [{ type: "array", minItems: 3, maxItems: 2 }, "minItems", /^is above maxItems 2$/],
  [{ type: "string", maxLength: 3 }, "maxLength", /^is not supported$/],
  [{ type: "string", minLength: SCHEMAS_MAX }, "", /^has above 200 schemas$/],
  [{ type: "integer", minimum: "1" }, "minimum", /^is not a number$/],
  [{ type: "integer", minimum: 2 }, "", /^bounds integers on one side, and not at 0 or 1$/],
  [{ type: "integer", maximum: 9 }, "", /^bounds integers on one side, and not at 0 or 1$/],
  [{ type: "integer", minimum: 0, maximum: 500 }, "", /^and what is before it have above 500/],
  [{ type: ["integer", "null"], minimum: 0 }, "minimum", /^is given where type is not integer$/],
  [{ type: "integer", exclusiveMinimum: 1, maximum: 1.5 }, "", /^lets no integer from 2 to 1$/],
  [
    { type: "object", properties: properties(PROPERTIES_MAX + 1) },
    "properties",
    /^has 65 entries, above 64$/,
  ],
  [{ anyOf: Array(SCHEMAS_MAX).fill(string) }, "", /^has above 200 schemas$/],
  [{ title: "a".repeat(SCHEMA_TEXT_MAX) }, "", /^is longer than 16384 characters$/],
  [
    { $ref: "#/$defs/a", $defs: { a: nested(16), b: nested(16), c: nested(8) } },
    "",
    new RegExp(`^and its definitions are deeper than ${SCHEMA_DEPTHS_MAX} in all$`),
  ],
  [
    { enum: Array.from({ length: ENUM_VALUES_MAX + 1 }, (_, at) => at) },
    "enum",
    /^and what is before it have above 500 values$/,
  ],
  [nested(SCHEMA_DEPTH_MAX + 1), "items", /^is deeper than 16$/],
];

for (const [schema, path, sentence] of refused) {
  test(`a schema is refused: ${JSON.stringify(schema).slice(0, 70)}`, () => {
    const fault = faultOfSchema(schema)!;
    assertEquals(fault.path.join(".").slice(0, path.length), path);
    assertMatch(fault.sentence, sentence);
  });
}

test("a schema that leads to itself by a value is taken, one of 10,000 levels is refused", () => {
  const list = { type: "array", items: { $ref: "#" } };
  assertEquals(faultOfSchema(list), null);
  let deep: unknown = {};
  for (let depth = 0; depth < 10_000; depth++) deep = { anyOf: [deep] };
  assertEquals(faultOfSchema(deep)?.sentence, "is deeper than 16");
});

test("the library is given values, bounds, lengths and names in words that it takes right", () => {
  const given = {
    type: "object",
    title: "a",
    properties: {
      a: { type: "integer", exclusiveMinimum: 3, maximum: 5.5, title: "b" },
      b: { type: "string", minLength: 1, description: "c" },
      title: { type: "array", items: { type: "integer", exclusiveMaximum: 0.5 } },
      d: { type: "string", enum: ["x", "x"] },
      e: { anyOf: [{ const: 4 }, { $ref: "#/$defs/value1" }] },
    },
    $defs: { value1: { type: "null", default: 3 } },
  };
  const reference = (name: string) => ({ $ref: `#/$defs/${name}` });
  assertEquals(plainSchema(given), {
    type: "object",
    properties: {
      a: { anyOf: [reference("value0"), reference("value2")] },
      b: { type: "string", pattern: '^[^"\\\\\\x00-\\x1f]{1,}$' },
      title: { type: "array", items: { type: "integer", maximum: 0 } },
      d: reference("value3"),
      e: { anyOf: [reference("value0"), reference("value1")] },
    },
    additionalProperties: false,
    $defs: {
      value1: { type: "null" },
      value0: { const: 4 },
      value2: { const: 5 },
      value3: { const: "x" },
    },
  });
});

test("definitions that refer to each other many times are judged at once", () => {
  const name = (at: number) => ({ $ref: `#/$defs/a${at}` });
  const $defs = Object.fromEntries(
    Array.from({ length: 12 }, (_, at) => [`a${at}`, { anyOf: Array(8).fill(name(at + 1)) }]),
  );
  assertEquals(faultOfSchema({ ...name(0), $defs: { ...$defs, a12: string } }), null);
});
