// The sampler: each way of drawing gives tokens as often as its plain reference says, and logits
// that differ a little draw the same.
import { greedy, needsLogits, sample, type Sampling } from "../../engine/sampler.ts";
import { TokenCounts } from "../../engine/sampling/penalties.ts";
import { assertEquals, assertGreater, assertLess, test } from "../harness.ts";
import { plainDistribution } from "./sampler_reference.ts";

const VOCABULARY = 50;
const logits = Float32Array.from({ length: VOCABULARY }, (_, id) => 3 * Math.sin(7 * id));
const DRAWS = 20_000;

/** Tokens of a text, of which the first three are its prompt. */
const text = [3, 8, 21, 8, 8, 30, 44, 3];
const counts = TokenCounts.of(text, 3);

// Pearson's statistic of draws against the distribution, and its degrees of freedom. Tokens that
// fewer than 5 draws are due to share a cell: the statistic is a chi-square only where cells are
// well filled. Any draw of what has probability 0 is wrong.
function strayed(draw: (at: number) => number, wanted: readonly number[]) {
  const drawn = new Array<number>(wanted.length).fill(0);
  for (let at = 0; at < DRAWS; at++) drawn[draw(at)]++;
  const rare = { expected: 0, drawn: 0 };
  const cells = [rare];
  wanted.forEach((probability, id) => {
    const cell = { expected: DRAWS * probability, drawn: drawn[id] };
    if (probability === 0) assertEquals(drawn[id], 0, `token ${id}`);
    if (cell.expected >= 5) cells.push(cell);
    else [rare.expected, rare.drawn] = [rare.expected + cell.expected, rare.drawn + cell.drawn];
  });
  const used = cells.filter(({ expected }) => expected > 0);
  const sum = used.reduce(
    (sum, { expected, drawn }) => sum + (drawn - expected) ** 2 / expected,
    0,
  );
  return { sum, freedom: used.length - 1 };
}

// A chi-square of d degrees of freedom is above this with a probability below 1e-4, whatever d:
// P(X >= d + 2 sqrt(d x) + 2 x) <= exp(-x) (Laurent and Massart 2000, lemma 1).
function bound(freedom: number): number {
  const x = Math.log(1e4);
  return freedom + 2 * Math.sqrt(freedom * x) + 2 * x;
}

const samplings: readonly Partial<Sampling>[] = [
  { temperature: 0.5 },
  { temperature: 0.8 },
  { temperature: 1.5 },
  { temperature: 1, topK: 1 },
  { temperature: 1, topK: 7 },
  { temperature: 1, topK: VOCABULARY },
  { temperature: 1, topK: 1_000 },
  { temperature: 1, topP: 0 },
  { temperature: 0.7, topP: 0.3 },
  { temperature: 1.5, topP: 0.9 },
  { temperature: 1, topP: 0.999999 },
  { temperature: 1, minP: 0.1 },
  { temperature: 1.5, minP: 0.5 },
  { temperature: 1, minP: 1 },
  { temperature: 1.2, topK: 20, topP: 0.8, minP: 0.3 },
  { temperature: 1, topK: 10, topP: 0.5 },
  { temperature: 1, repetitionPenalty: 1.3 },
  { temperature: 1, repetitionPenalty: 0.7 },
  { temperature: 1, presencePenalty: 1.5 },
  { temperature: 1, presencePenalty: -2 },
  { temperature: 1, frequencyPenalty: 0.9 },
  { temperature: 1, frequencyPenalty: -0.4 },
  {
    ...{ temperature: 0.9, topK: 30, topP: 0.9, minP: 0.02 },
    ...{ repetitionPenalty: 1.2, presencePenalty: 0.5, frequencyPenalty: 0.3 },
  },
];

for (const given of samplings) {
  test(`${JSON.stringify(given)} draws as its reference, over positions and over seeds`, () => {
    const sampling = { ...greedy, ...given };
    const wanted = plainDistribution(logits, sampling, text, 3);
    for (
      const draw of [
        (at: number) => sample(logits, { ...sampling, seed: 5 }, at, counts),
        (at: number) => sample(logits, { ...sampling, seed: at }, 7, counts),
      ]
    ) {
      const { sum, freedom } = strayed(draw, wanted);
      assertLess(sum, bound(freedom));
    }
  });
}

test("draws of neighbouring positions have nothing to do with each other", () => {
  let same = 0;
  const sampling = { ...greedy, temperature: 1, seed: 9 };
  for (let at = 0; at < DRAWS; at++) {
    const [one, next] = [at, at + 1].map((at) => sample(logits, sampling, at));
    if (one === next) same++;
  }
  const wanted = plainDistribution(logits, sampling, [], 0).reduce((sum, p) => sum + p * p, 0);
  assertLess(Math.abs(same / DRAWS - wanted), 4 * Math.sqrt(wanted / DRAWS));
});

for (const filters of [{}, { topK: 20, topP: 0.9, minP: 0.01 }]) {
  const filtered = JSON.stringify(filters);
  test(`logits that differ a little draw the same as a race promises, ${filtered}`, () => {
    const sampling = { ...greedy, temperature: 0.8, seed: 3, ...filters };
    const near = logits.map((logit, id) => logit + 0.1 * Math.cos(3 * id));
    const other = plainDistribution(near, sampling, [], 0);
    const apart = plainDistribution(logits, sampling, [], 0)
      .reduce((sum, probability, id) => sum + Math.abs(probability - other[id]) / 2, 0);
    let same = 0;
    for (let at = 0; at < DRAWS; at++) {
      if (sample(logits, sampling, at) === sample(near, sampling, at)) same++;
    }
    assertGreater(same / DRAWS, (1 - apart) / (1 + apart));
  });
}

test("a filter that leaves a token takes no other in its place", () => {
  const free = { ...greedy, temperature: 1, seed: 4 };
  const top = new Set([...logits.keys()].sort((a, b) => logits[b] - logits[a]).slice(0, 9));
  for (let at = 0; at < 1_000; at++) {
    const drawn = sample(logits, free, at);
    if (top.has(drawn)) assertEquals(sample(logits, { ...free, topK: 9 }, at), drawn);
  }
});

test("of equal logits top-k and top-p keep the lower ids", () => {
  const equal = new Float32Array(8).fill(2);
  for (const kept of [{ topK: 3 }, { topP: 0.375 }]) {
    const sampling = { ...greedy, temperature: 1, ...kept };
    const drawn = new Set(Array.from({ length: 500 }, (_, at) => sample(equal, sampling, at)));
    assertEquals([...drawn].sort(), [0, 1, 2]);
  }
});

test("a large vocabulary is cut where a sort would cut it", () => {
  const many = Float32Array.from({ length: 30_000 }, (_, id) => 8 * Math.sin(id * id % 9_973));
  for (const given of [{ topK: 37 }, { topP: 0.4 }, { topK: 5_000, topP: 0.8, minP: 0.05 }]) {
    const sampling = { ...greedy, temperature: 2, ...given };
    const wanted = plainDistribution(many, sampling, [], 0);
    for (let at = 0; at < 60; at++) assertGreater(wanted[sample(many, sampling, at)], 0);
  }
});

test("temperature 0 takes the largest after penalties, and extremes of logits are drawn", () => {
  const few = Float32Array.of(1, 3, 3, 2);
  assertEquals(sample(few, { ...greedy, seed: 1, topK: 3, topP: 0.5 }, 0), 1);
  const penalised = { ...greedy, frequencyPenalty: 0.6 };
  assertEquals(sample(few, penalised, 0, TokenCounts.of([1, 2, 2], 0)), 1);
  assertEquals(sample(few, penalised, 0, TokenCounts.of([1, 2, 2, 1], 0)), 3);
  assertEquals(sample(few, penalised, 0, TokenCounts.of([1, 2, 2, 1], 4)), 1);
  const one = Float32Array.of(-1e30, 5, -Infinity, NaN);
  for (const given of [{}, { topK: 2 }, { topP: 0.99 }, { minP: 0.5 }]) {
    const sampling = { ...greedy, temperature: 1, ...given };
    for (let at = 0; at < 100; at++) assertEquals(sample(one, sampling, at), 1);
  }
});

test("the text that a guess would have is counted, and the text itself stays as it was", () => {
  const before = [...counts.generated];
  assertEquals(
    [...counts.with([8, 9]).generated],
    [...TokenCounts.of([...text, 8, 9], 3).generated],
  );
  assertEquals([...counts.generated], before);
});

test("logits are needed for penalties and probabilities, not for what the library draws", () => {
  const request = { ...greedy, logprobs: 0 };
  for (const temperature of [0, 0.1]) {
    const limits = { topK: 5, topP: 0.5, minP: 0.5, seed: 3 };
    assertEquals(needsLogits({ ...request, ...limits, temperature }), false);
  }
  for (
    const given of [
      { repetitionPenalty: 1.1 },
      { presencePenalty: -1 },
      { frequencyPenalty: 1 },
      { logprobs: 1 },
    ]
  ) assertEquals(needsLogits({ ...request, ...given }), true);
});

test("a draw is the same where the largest logit is told, unless a penalty changes logits", () => {
  const id = logits.indexOf(Math.max(...logits));
  const told = { id, logit: logits[id] };
  const wrong = { id: 0, logit: NaN };
  for (const given of [{}, { temperature: 0.8 }, { temperature: 2, topK: 9, topP: 0.9 }]) {
    for (let at = 0; at < 200; at++) {
      const sampling = { ...greedy, seed: 3, ...given };
      assertEquals(sample(logits, sampling, at, null, told), sample(logits, sampling, at));
      const penalised = { ...sampling, presencePenalty: 1 };
      const drawn = sample(logits, penalised, at, counts, wrong);
      assertEquals(drawn, sample(logits, penalised, at, counts));
    }
  }
});

test("draws are the same in every runtime: a checksum of 4,000", () => {
  const { topK, topP, minP } = { topK: 40, topP: 0.95, minP: 0.01 };
  let sum = 0;
  for (const given of [{}, { topK }, { topP }, { topK, topP, minP, frequencyPenalty: 0.5 }]) {
    const sampling = { ...greedy, temperature: 0.8, seed: 2 ** 53 - 1, ...given };
    for (let at = 0; at < 1_000; at++) {
      sum = Math.imul(sum ^ sample(logits, sampling, at, counts), 0x01000193);
    }
  }
  assertEquals(sum >>> 0, 461_365_145);
});
