// The sampler: tokens come as often as they should, and logits that differ a little draw the same.
import { sample } from "../../engine/sampler.ts";
import { assertEquals, assertGreater, assertLess, test } from "../harness.ts";

const logits = Float32Array.from({ length: 50 }, (_, id) => 3 * Math.sin(7 * id));
const DRAWS = 50_000;

function probabilities(of: Float32Array, temperature: number): number[] {
  const weights = Array.from(of, (logit) => Math.exp(logit / temperature));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

// Pearson's statistic of draws against the distribution, 49 degrees of freedom.
function strayed(draw: (at: number) => number, temperature: number): number {
  const counts = new Array<number>(logits.length).fill(0);
  for (let at = 0; at < DRAWS; at++) counts[draw(at)]++;
  return probabilities(logits, temperature).reduce((sum, probability, id) => {
    const wanted = DRAWS * probability;
    return sum + (counts[id] - wanted) ** 2 / wanted;
  }, 0);
}

test("tokens are drawn as often as their probability says, over positions and over seeds", () => {
  for (const temperature of [0.5, 0.8, 1.5]) {
    // One in a thousand is above 85.4.
    assertLess(strayed((at) => sample(logits, { temperature, seed: 5 }, at), temperature), 85);
    assertLess(strayed((at) => sample(logits, { temperature, seed: at }, 7), temperature), 85);
  }
});

test("draws of neighbouring positions have nothing to do with each other", () => {
  let same = 0;
  for (let at = 0; at < DRAWS; at++) {
    const [one, next] = [at, at + 1].map((at) => sample(logits, { temperature: 1, seed: 9 }, at));
    if (one === next) same++;
  }
  const wanted = probabilities(logits, 1).reduce((sum, p) => sum + p * p, 0);
  assertLess(Math.abs(same / DRAWS - wanted), 4 * Math.sqrt(wanted / DRAWS));
});

test("logits that differ a little draw the same token as often as a race promises", () => {
  const near = logits.map((logit, id) => logit + 0.1 * Math.cos(3 * id));
  const other = probabilities(near, 0.8);
  const apart = probabilities(logits, 0.8)
    .reduce((sum, probability, id) => sum + Math.abs(probability - other[id]) / 2, 0);
  let same = 0;
  for (let at = 0; at < DRAWS; at++) {
    const both = [logits, near].map((of) => sample(of, { temperature: 0.8, seed: 3 }, at));
    if (both[0] === both[1]) same++;
  }
  assertGreater(same / DRAWS, (1 - apart) / (1 + apart));
});

test("temperature 0 takes the largest, and the extremes of logits are drawn from too", () => {
  assertEquals(sample(Float32Array.of(1, 3, 3, 2), { temperature: 0, seed: 1 }, 0), 1);
  const one = Float32Array.of(-1e30, 5, -Infinity);
  for (let at = 0; at < 100; at++) assertEquals(sample(one, { temperature: 1, seed: 1 }, at), 1);
});
