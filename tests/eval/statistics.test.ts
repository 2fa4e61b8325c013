import { bootstrap, divergence, mean, quantile, wilson } from "../../eval/statistics.ts";
import { assert, assertAlmostEquals, assertEquals, test } from "../harness.ts";

test("divergence() is KL of the softmaxes, 0 for logits that a constant was added to", () => {
  const p = [0.5, 0.25, 0.25], q = [0.25, 0.5, 0.25];
  const logits = (probabilities: number[], shift = 0) =>
    Float32Array.from(probabilities, (x) => Math.log(x) + shift);
  // .5 ln 2 - .25 ln 2; logits are rounded to float32, of which 2^-24 of 2 is left
  assertAlmostEquals(divergence(logits(p), logits(q, 3)), 0.25 * Math.LN2, 1e-6);
  assertAlmostEquals(divergence(logits(p), logits(p, 100)), 0, 1e-5);
  const sure = Float32Array.of(200, 0);
  assertEquals(divergence(sure, sure), 0);
});

test("quantile() is the smallest value that the share does not exceed", () => {
  const values = Array.from({ length: 200 }, (_, at) => 200 - at);
  assertEquals([0, 0.005, 0.5, 0.99, 1].map((share) => quantile(values, share)), [
    ...[1, 1, 100, 198, 200],
  ]);
});

test("wilson() gives known intervals and stays within 0 and 1", () => {
  // 10 of 100: (.1 + .0192 +- 1.96 sqrt(.0009 + .0000960)) / 1.0384
  const { low, high } = wilson(10, 100);
  assertAlmostEquals(low, 0.0552, 1e-4);
  assertAlmostEquals(high, 0.1744, 1e-4);
  assertAlmostEquals(wilson(0, 5).low, 0, 1e-15);
  assertAlmostEquals(wilson(5, 5).high, 1, 1e-15);
});

test("bootstrap() is the same from the same seed, holds the mean, and narrows with more", () => {
  const values = (n: number) => Array.from({ length: n }, (_, at) => at % 10);
  const few = bootstrap(values(20), mean, 1), many = bootstrap(values(500), mean, 1);
  assertEquals(bootstrap(values(20), mean, 1), few);
  for (const { low, high } of [few, many]) assert(low < 4.5 && high > 4.5);
  // The error of a mean is 2.87 / sqrt(n): 1.26 and .25 each way.
  assertAlmostEquals(few.high - few.low, 2.52, 0.4);
  assertAlmostEquals(many.high - many.low, 0.5, 0.08);
});
