// study.ts - what rules do to a captured text: for each rule, every (layer, KV head, step).
import {
  type CodedStep,
  codedStep,
  depthOf,
  type ExactStep,
  exactStep,
  mixedOutputs,
  reranked,
} from "./attention.ts";
import type { Calibration } from "./calibrate.ts";
import type { HeadCapture } from "./capture.ts";
import { coded } from "./encode.ts";
import type { CodeRule, Rule } from "./rule.ts";

/** Shares of the exact mass whose depth is told. */
export const SHARES = [0.5, 0.9, 0.99] as const;
/** Tokens chosen. */
export const COUNTS = [0, 64, 128, 256, 512] as const;
/** Candidates of which the best RERANKED by exact value are chosen. */
export const CANDIDATES = [512, 1024, 2048] as const;
const RERANKED = 256;
const FACT_MASS = 0.05; // a step asks for a fact where it has this much of the attention

/** One (layer, KV head, step) under one rule. */
export interface Sample {
  /** Standard deviation over the tail of (code score - exact score), logits; mean of the group. */
  readonly sigma: number;
  /** Tokens, of SHARES. */
  readonly depth: readonly number[];
  /** Tokens down to 90 % of the fact's own mass; null where the step does not ask for it. */
  readonly factDepth: number | null;
  /** Exact mass of the chosen over that of the best as many, of COUNTS. */
  readonly mass: readonly number[];
  /** norm(output - exact) / norm(exact) over the group, of COUNTS. */
  readonly error: readonly number[];
  /** The same with a re-ranked choice, of CANDIDATES. */
  readonly rerankedError: readonly number[];
}

/** What is studied of a head. */
export interface StudyOptions {
  readonly rules: readonly Rule[];
  readonly keys: Calibration;
  readonly values: Calibration;
  /** Tokens of the asked fact; empty without one. */
  readonly fact: readonly number[];
  /** Leaves out outputs, which take most of the time: depths alone. */
  readonly depthsAlone: boolean;
}

/** Samples of each rule, by name; `exact` is the order of exact values. */
export function studyHead(head: HeadCapture, options: StudyOptions): Map<string, Sample[]> {
  const { rules } = options;
  const keysOf = memo((rule: CodeRule) => coded(rule, head.keys, head.headDim, options.keys));
  const valuesOf = memo((rule: CodeRule) => coded(rule, head.values, head.headDim, options.values));
  const samples = new Map<string, Sample[]>(["exact", ...rules.map(({ name }) => name)].map(
    (name) => [name, []],
  ));
  for (let step = 0; step < head.queries.length; step++) {
    const exact = exactStep(head, step);
    if (exact === null) continue;
    const scored = memo((rule: CodeRule) => codedStep(head, step, exact, keysOf(rule)));
    samples.get("exact")!.push(sampleOf(head, exact, exact, null, options.fact));
    for (const { name, keys, values } of rules) {
      const own = options.depthsAlone ? null : valuesOf(values);
      samples.get(name)!.push(sampleOf(head, exact, scored(keys), own, options.fact));
    }
  }
  return samples;
}

// Rules are data that is never copied: the same object is the same rule.
function memo<Result>(make: (rule: CodeRule) => Result): (rule: CodeRule) => Result {
  const made = new Map<CodeRule, Result>();
  return (rule) => {
    const result = made.get(rule) ?? make(rule);
    made.set(rule, result);
    return result;
  };
}

function sampleOf(
  head: HeadCapture,
  exact: ExactStep,
  codes: CodedStep,
  values: Float32Array | null,
  fact: readonly number[],
): Sample {
  const { order } = codes;
  const massOf = (tokens: Uint32Array) => tokens.reduce((sum, at) => sum + exact.values[at], 0);
  const outputs = values && mixedOutputs(head, exact, codes, values);
  const errorOf = (chosen: Uint32Array) => outputs ? strayed(exact, outputs(chosen)) : NaN;
  return {
    sigma: sigmaOf(exact, codes),
    depth: SHARES.map((share) => depthOf(order, exact.values, share)),
    factDepth: factDepth(order, exact, fact),
    mass: COUNTS.map((count) => {
      const best = massOf(exact.order.subarray(0, count));
      return best > 0 ? massOf(order.subarray(0, count)) / best : 1;
    }),
    error: COUNTS.map((count) => errorOf(order.subarray(0, count))),
    rerankedError: CANDIDATES.map((candidates) =>
      errorOf(reranked(order, candidates, RERANKED, exact))
    ),
  };
}

function factDepth(order: Uint32Array, { values, tailEnd }: ExactStep, fact: readonly number[]) {
  const own = fact.filter((token) => token < tailEnd);
  if (own.reduce((sum, token) => sum + values[token], 0) < FACT_MASS) return null;
  const alone = new Float64Array(values.length);
  for (const token of own) alone[token] = values[token];
  return depthOf(order, alone, 0.9);
}

function strayed({ outputs }: ExactStep, got: readonly Float64Array[]): number {
  let off = 0, all = 0;
  outputs.forEach((output, g) =>
    output.forEach((x, i) => {
      off += (got[g][i] - x) ** 2;
      all += x ** 2;
    })
  );
  return Math.sqrt(off / all);
}

function sigmaOf({ scores, order }: ExactStep, codes: CodedStep): number {
  let sigma = 0;
  scores.forEach((exact, g) => {
    let sum = 0, squares = 0;
    for (const token of order) {
      const off = codes.scores[g][token] - exact[token];
      sum += off;
      squares += off * off;
    }
    const mean = sum / order.length;
    sigma += Math.sqrt(Math.max(0, squares / order.length - mean * mean)) / scores.length;
  });
  return sigma;
}
