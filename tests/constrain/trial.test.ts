// A schema that would keep the library busy, or break it, is found out elsewhere.
import { faultOfSchema, type JsonSchema } from "../../engine/constrain/schema.ts";
import { Trials } from "../../engine/constrain/trial.ts";
import { assert, assertEquals, test } from "../harness.ts";
import { assertRefused } from "../engine/support.ts";

const letters = Array.from({ length: 94 }, (_, at) => String.fromCharCode(33 + at));
const tokens = ["", "Ġ", ...letters, ...letters.map((letter) => letter.repeat(8))];
const trials = (limitMs?: number) => new Trials(() => ({ tokens, eos: [0] }), limitMs);

function nested(depth: number): JsonSchema {
  return depth === 0 ? {} : { type: "array", items: nested(depth - 1), maxItems: 1000 };
}

test("a schema passes its trial, and is not tried again", async () => {
  let asked = 0;
  const trials = new Trials(() => (asked++, { tokens, eos: [0] }));
  const schema: JsonSchema = { type: "object", properties: { a: { enum: ["b", "c"] } } };
  for (let i = 0; i < 3; i++) await trials.judge({ schema });
  await trials.judge("json");
  assertEquals(asked, 1);
  await trials.judge({ schema, begin: "a" });
  assertEquals(asked, 2);
});

test("a schema with too many ways to read it is refused, and others pass after it", async () => {
  const schema = { anyOf: Array.from({ length: 13 }, () => nested(14)) };
  assertEquals(faultOfSchema(schema), null);
  const all = trials(1000);
  const sentence = "the schema of the format takes above 1000 ms to be compiled";
  const late = assertRefused(() => all.judge({ schema }), "argument", sentence);
  await all.judge({ schema: { const: "a" } });
  await late;
});

test("a client's schemas hold up its own, another's waits for a free thread alone", async () => {
  const slow = (at: number) => ({ anyOf: Array.from({ length: 13 + at }, () => nested(14)) });
  const all = trials(1500);
  const order: string[] = [];
  const late = [0, 1, 2, 3].map(async (at) => {
    await assertRefused(() => all.judge({ schema: slow(at) }, "many"), "argument", "above 1500 ms");
    order.push(`many ${at}`);
  });
  await all.judge({ schema: { const: "a" } }, "few");
  order.push("few");
  await Promise.all(late);
  assert(order.indexOf("few") <= 2, order.join()); // two are tried at a time
});

test("a schema that several ask for at a time is tried once", async () => {
  let asked = 0;
  const trials = new Trials(() => (asked++, { tokens, eos: [0] }));
  const judge = () => trials.judge({ schema: { const: "a" } });
  await Promise.all([judge(), judge(), judge()]);
  assertEquals(asked, 1);
});

test("a schema that breaks the library is refused, and others pass after it", async () => {
  // Deeper than any that is let through.
  let deep: JsonSchema = {};
  for (let depth = 0; depth < 100; depth++) deep = { type: "object", properties: { a: deep } };
  const all = trials(60_000);
  await assertRefused(() => all.judge({ schema: deep }), "unsupported", "cannot be compiled");
  await all.judge({ schema: { const: "a" } });
});
