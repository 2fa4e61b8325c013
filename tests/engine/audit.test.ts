// The online audit: share 1 is the truth, a share's interval holds it, and the truth is what plain
// float64 loops over rows, queries and outputs give.
import { auditStats } from "../../engine/audit.ts";
import { auditCount, auditSums } from "../../ffi/constants.ts";
import { KvStore } from "../../mod.ts";
import { assert, assertAlmostEquals, assertEquals, assertGreater, test } from "../harness.ts";
import { randomNumbers } from "./kv.ts";
import { asked, assertRefused, FOLLOWING, openNeedle, promptIds } from "./support.ts";

const [TOKENS, DIM] = [400, 32];

// Outputs and stats of one step over random rows, one KV head, one query head.
function oneStep(k: number) {
  using store = KvStore.open({
    ...{ layers: 1, kvHeads: 1, queryHeads: 1, headDim: DIM, contextTokens: TOKENS + 1 },
    ...{ kvType: "f32", keyBits: 1, k, audit: 1 },
  });
  const rows = (seed: number, tokens: number) => randomNumbers(tokens * DIM, seed);
  const [keys, values] = [rows(1, TOKENS + 1), rows(2, TOKENS + 1)];
  const queries = rows(3, 1).map((x) => 4 * x);
  store.prefill(0, { keys: keys.slice(0, TOKENS * DIM), values: values.slice(0, TOKENS * DIM) });
  const token = { queries, keys: keys.slice(TOKENS * DIM), values: values.slice(TOKENS * DIM) };
  let outputs: Float32Array = new Float32Array();
  for (let time = 0; time < 2; time++) { // the same step twice: an interval needs two samples
    if (time > 0) store.truncate(TOKENS);
    store.begin({ inputs: 1 });
    outputs = store.attend(0, token);
    store.end({ keep: 1 });
  }
  return { keys, values, queries, outputs, audit: store.stats().audit! };
}

test("an audit's output divergence is that of plain attention over the rows", () => {
  const { keys, values, queries, outputs, audit } = oneStep(16);
  const logits = Array.from({ length: TOKENS + 1 }, (_, token) => {
    let dot = 0;
    for (let i = 0; i < DIM; i++) dot += keys[token * DIM + i] * queries[i];
    return dot / Math.sqrt(DIM);
  });
  const most = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp(logit - most));
  const sum = weights.reduce((a, b) => a + b, 0);
  let off = 0, norm = 0;
  for (let i = 0; i < DIM; i++) {
    let exact = 0;
    weights.forEach((weight, token) => exact += weight / sum * values[token * DIM + i]);
    off += (outputs[i] - exact) ** 2;
    norm += exact ** 2;
  }
  // float32 sums of 401 terms: 1e-5 of a norm is ten times their rounding.
  assertAlmostEquals(audit.outputDivergence!.mean, Math.sqrt(off / norm), 1e-5);
  assertGreater(audit.outputDivergence!.mean, 0.01); // 1-bit keys
  assertEquals([audit.samples, audit.share], [2, 1]);
  assertEquals(audit.lostMass!.low, audit.lostMass!.high);
  assert(audit.chosenMass! > 0.2 && audit.chosenMass! <= 1);
});

test("with every token exact nothing is lost", () => {
  const { audit } = oneStep(TOKENS);
  assertAlmostEquals(audit.lostMass!.mean, 0, 1e-5);
  assertAlmostEquals(audit.outputDivergence!.mean, 0, 1e-5);
  assertAlmostEquals(audit.chosenMass!, 1, 1e-5);
});

// What a mean of drawn samples says, by drawing them from a known population.
test("the interval of a share holds the truth in at least 90 of 100 seeds", () => {
  const all = randomNumbers(6_000, 5).map((x) => Math.exp(2 * x) / 50); // skewed, as losses are
  const truth = all.reduce((sum, x) => sum + x, 0) / all.length;
  const share = 0.02;
  let held = 0;
  for (let seed = 0; seed < 100; seed++) {
    const drawn = all.filter((_, at) => (randomNumbers(1, seed * 10_007 + at)[0] + 1) / 2 < share);
    const sums = new Float64Array(auditCount);
    sums[auditSums.samples] = drawn.length;
    for (const x of drawn) {
      sums[auditSums.lost] += x;
      sums[auditSums.lostSquared] += x * x;
    }
    const shape = { layers: 1, kvHeads: 1, queryHeads: 1, headDim: DIM };
    const settings = { audit: share, auditWarn: null } as Parameters<typeof auditStats>[2];
    const { low, high } = auditStats(sums, shape, settings).lostMass!;
    if (low <= truth && truth <= high) held++;
  }
  assert(held >= 90, `${held} of 100`);
});

test("an audit changes no token, tells each layer, and warns past a threshold", async () => {
  await using plain = await openNeedle({ profile: "none" });
  await using audited = await openNeedle({ profile: "none", audit: 1, auditWarn: 1e-9 });
  await using quiet = await openNeedle({ profile: "none", audit: 0.2, auditWarn: 0.99 });
  const ask = { ids: promptIds, ...asked, accept: "off" } as const;
  const [a, b, c] = await Promise.all(
    [plain, audited, quiet].map((engine) => engine.generate(ask).result),
  );
  assertEquals([b.tokens, b.logprobs], [a.tokens, a.logprobs]);
  const { layers, samples, lostMass, warning } = b.cache.audit!;
  assertEquals([a.cache.audit, layers.length, warning], [null, 4, true]);
  assertEquals(samples, (FOLLOWING - 1) * 4 * 2);
  assertEquals([c.cache.audit!.warning, c.cache.audit!.share], [false, 0.2]);
  const { low, high } = c.cache.audit!.lostMass!;
  assert(low <= lostMass!.mean && lostMass!.mean <= high);
});

test("audits outside 0..1, and of mode full, are refused", async () => {
  await assertRefused(() => openNeedle({ audit: 1.5 }), "argument", "audit 1.5 is above 1");
  await assertRefused(() => openNeedle({ audit: -1 }), "argument", "audit -1 is below 0");
  const alone = "auditWarn 0.5 has no use without audit";
  await assertRefused(() => openNeedle({ auditWarn: 0.5 }), "argument", alone);
  const full = "audit 0.1 has no use in mode full";
  await assertRefused(() => openNeedle({ mode: "full", audit: 0.1 }), "argument", full);
});
