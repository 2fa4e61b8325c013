// Random texts under random schemas: each is JSON, and zod, which knows nothing of the grammars,
// finds that its schema lets it.
import { z } from "zod";
import { assert, assertEquals, assertGreater, test } from "../harness.ts";
import { spawned } from "../cli/command.ts";
import type { Held } from "./grammar_worker.ts";

const COUNT = 240;

test("random texts that are held to random schemas are JSON that the schemas let", async () => {
  // Nor does the library write of what it met.
  const { stdout, stderr } = await spawned("tests/constrain/grammar_texts.ts", [`${COUNT}`, "1"]);
  assertEquals(stderr, "");
  const texts: readonly Held[] = JSON.parse(stdout);
  assertGreater(texts.length, COUNT * 0.9);
  for (const { schema, begin, text } of texts) {
    assert(text.startsWith(begin), text);
    const json = begin === "" ? text : text.slice(begin.length, -"\n</tool_call>".length);
    const value: unknown = JSON.parse(json);
    const { error } = z.fromJSONSchema(schema).safeParse(value);
    const faults = error?.issues.filter((issue) => !isOfDoubles(issue)) ?? [];
    assertEquals(faults, [], `${JSON.stringify(schema)}: ${text}`);
  }
});

// Digits beyond what a double holds are JSON all the same.
function isOfDoubles(issue: z.core.$ZodIssue): boolean {
  const text = JSON.stringify(issue);
  return text.includes("Infinity") || text.includes("9007199254740991");
}
