// The study of code rules: its plain loops give what the native codes give, and its figures say
// what they claim.
import {
  codedStep,
  depthOf,
  exactStep,
  mixedOutputs,
  reranked,
} from "../../eval/rules/attention.ts";
import { basisOf } from "../../eval/rules/basis.ts";
import { calibrate } from "../../eval/rules/calibrate.ts";
import type { HeadCapture } from "../../eval/rules/capture.ts";
import { coded } from "../../eval/rules/encode.ts";
import { factOf, main } from "../../eval/rules/main.ts";
import { bitsOf, type CodeRule, rules } from "../../eval/rules/rule.ts";
import { fitted } from "../../eval/rules/summary.ts";
import { needleModel } from "../../eval/source.ts";
import type { KvStoreOptions } from "../../mod.ts";
import { kv, openStore, prefill, shape, step } from "../engine/kv.ts";
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreater,
  assertLess,
  assertRejects,
  test,
} from "../harness.ts";

const START = 300; // tokens before the step
const { kvHeads, queryHeads, headDim } = shape;
const group = queryHeads / kvHeads;

// One layer's heads as a capture of one step has them.
function heads(layer: number): HeadCapture[] {
  const { queries, keys, values } = kv[layer];
  const tokens = START + 1;
  const own = (rows: Float32Array, head: number) =>
    Float32Array.from(
      { length: tokens * headDim },
      (_, at) => rows[(Math.floor(at / headDim) * kvHeads + head) * headDim + at % headDim],
    );
  return Array.from({ length: kvHeads }, (_, head) => {
    const first = (START * queryHeads + head * group) * headDim;
    return {
      ...{ layer, head, headDim, group, tokens, positions: [START] },
      ...{ keys: own(keys, head), values: own(values, head) },
      queries: [queries.slice(first, first + group * headDim)],
    };
  });
}

function norm(x: ArrayLike<number>): number {
  return Math.hypot(...Array.from(x));
}

// How far the product's outputs, codes alone, are from the study's, of how far those err.
function apart(keys: CodeRule, values: CodeRule, options: Partial<KvStoreOptions>): number {
  using store = openStore({ kvType: "f32", k: 0, ...options });
  prefill(store, 0, START);
  const outputs = step(store);
  let off = 0, lost = 0;
  kv.forEach((_, layer) => {
    const captured = heads(layer);
    const sides = calibrate(captured, false);
    captured.forEach((head, at) => {
      const exact = exactStep(head, 0)!;
      const codes = codedStep(head, 0, exact, coded(keys, head.keys, headDim, sides[at].keys));
      const own = coded(values, head.values, headDim, sides[at].values);
      const studied = mixedOutputs(head, exact, codes, own)(new Uint32Array());
      studied.forEach((output, g) => {
        const first = (at * group + g) * headDim;
        off += norm(output.map((x, i) => x - outputs[layer][first + i])) ** 2;
        lost += norm(output.map((x, i) => x - exact.outputs[g][i])) ** 2;
      });
    });
  });
  return Math.sqrt(off / lost);
}

test("the study's codes are the product's, but for the query's 8 bits", () => {
  const { keys: two, values: one } = rules.find(({ name }) => name === "no profile: 2 / 1")!;
  const paper = rules.filter(({ name }) => name.startsWith("paper"));
  // A query is rounded to a 125th of a table's sum for 1-bit keys, a 41st for 2-bit ones.
  assertLess(apart(one, one, { keyBits: 1 }), 0.02); // measured .011
  assertLess(apart(two, one, {}), 0.2); // measured .17: three times as coarse, and half the error
  paper.forEach(({ keys, values }, at) => {
    const bits = 1 + at as 1 | 2;
    const options = { rule: "paper", keyBits: bits, valueBits: bits } as const;
    assertLess(apart(keys, values, options), 0.05); // its parameters are fp16
  });
  assertGreater(apart(two, one, { keyBits: 1 }), 0.5); // another rule is told apart
});

test("a rule's bits are the bytes of the product's codes", () => {
  // head_dim 128: 2-bit keys and quarter-bit values with all parameters (METHOD section 7)
  const bits = (name: string) => {
    const { keys, values } = rules.find((rule) => rule.name === name)!;
    return (bitsOf(keys, 128) + bitsOf(values, 128)) / 2;
  };
  assertAlmostEquals(bits("default: 2 / own .25"), 1.285, 0.001);
  assertAlmostEquals(bits("compact: 1.1 / own .25"), 0.835, 0.001);
  assertEquals(bits("paper 1 bit"), 1.5);
});

test("a basis is orthonormal, with an odd factor too, and goes back", () => {
  for (const dim of [8, 64, 24, 80]) {
    const basis = basisOf("hadamard", dim);
    const rows = Array.from({ length: dim }, (_, i) => {
      const x = new Float64Array(dim);
      x[i] = 1;
      basis.forward(x);
      return x;
    });
    rows.forEach((row, a) => {
      rows.slice(0, a + 1).forEach((other, b) => {
        const dot = row.reduce((sum, x, i) => sum + x * other[i], 0);
        assertAlmostEquals(dot, Number(a === b), 1e-12);
      });
      const again = row.slice();
      basis.back(again);
      assertAlmostEquals(again[a], 1, 1e-12);
    });
  }
});

test("depths count places, and a re-ranked choice is the best of its candidates", () => {
  const values = Float64Array.of(0.1, 0.5, 0.3, 0.1);
  assertEquals(depthOf(Uint32Array.of(1, 2, 0, 3), values, 0.5), 1);
  assertEquals(depthOf(Uint32Array.of(0, 2, 1, 3), values, 0.5), 3);
  assertEquals(depthOf(Uint32Array.of(1, 2, 0, 3), values, 0.99), 4);
  const exact = { ...exactStep(heads(0)[0], 0)!, values };
  assertEquals([...reranked(Uint32Array.of(0, 3, 2, 1), 3, 2, exact)], [2, 0]);
});

test("a fit finds the power that made its points", () => {
  const points = [1000, 2000, 4000].map((tokens) => [tokens, 3 * tokens ** 0.5] as const);
  const { power, factor, at32K } = fitted(points);
  assertAlmostEquals(power, 0.5, 1e-9);
  assertAlmostEquals(factor, 3, 1e-9);
  assertAlmostEquals(at32K, 3 * Math.sqrt(32768), 1e-6);
});

test("a fact is found where its answer stands", () => {
  const document = { task: "needle", seed: 0, depth: 0, answerTokens: 3, answers: ["x"] };
  const encode = () => [7, 8];
  assertEquals(factOf({ ...document, ids: [1, 7, 9, 7, 8, 2] }, encode), [3, 4]);
  assertEquals(factOf({ ...document, ids: [1, 7, 9] }, encode), []);
  assertEquals(factOf({ ...document, ids: [7, 8], answers: null }, encode), []);
});

test("the command ranks rules on a model, and refuses what it does not know", async () => {
  const lines: string[] = [];
  const log = console.log;
  console.log = (line: string) => lines.push(line);
  try {
    const small = ["--model", needleModel, "--tasks", "needle", "--tokens", "512", "--steps", "2"];
    await main([...small, "--rules", "default,paper 1", "--json"]);
    const { rows } = JSON.parse(lines[0]);
    assertEquals(rows.map(({ rule }: { rule: string }) => rule), [
      ...["exact", "default: 2 / own .25", "paper 1 bit"],
    ]);
    assert(rows[1].sigma < rows[2].sigma);
    await main([...small, "--rules", "default", "--depths"]);
    assert(lines[1].includes("99 %"));
    await assertRejects(() => main([...small, "--rules", "best"]), Error, "rule best is none of");
    await assertRejects(() => main(["--model", needleModel, "--tasks", "poem"]), Error, "poem");
    await assertRejects(() => main([...small, "--steps", "0"]), Error, "steps");
  } finally {
    console.log = log;
  }
});
