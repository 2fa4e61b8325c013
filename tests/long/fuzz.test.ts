// A hundred thousand requests at random: ten servers, one after the other, 10,000 to each.
import { test } from "../harness.ts";
import { fuzz } from "../routes/fuzz.ts";

for (let seed = 1; seed <= 10; seed++) {
  test(`10,000 requests at random, seed ${seed}, break nothing`, () => fuzz(10_000, seed));
}
