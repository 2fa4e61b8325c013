import { SpecacheError } from "../../engine/errors.ts";
import { assert, assertEquals, test } from "../harness.ts";

test("SpecacheError keeps code, cause and details", () => {
  const cause = new Error("why");
  const error = new SpecacheError("capacity", "Cannot append: 5 tokens are above 4", {
    cause,
    details: { tokens: 5 },
  });
  assert(error instanceof Error);
  assertEquals([error.name, error.code, error.details.tokens], ["SpecacheError", "capacity", 5]);
  assertEquals(error.cause, cause);
});

test("SpecacheError without options has no cause and empty details", () => {
  const error = new SpecacheError("closed", "Cannot step: the store is closed");
  assertEquals("cause" in error, false);
  assertEquals(error.details, {});
});
