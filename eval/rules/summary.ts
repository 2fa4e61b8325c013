// summary.ts - samples of rules to figures: one row for each length and rule, and how depths grow.
import { mean, quantile } from "../statistics.ts";
import { bitsOf, type Rule } from "./rule.ts";
import { CANDIDATES, COUNTS, type Sample, SHARES } from "./study.ts";

/** Samples of one document under one rule. */
export interface DocumentSamples {
  readonly task: string;
  readonly tokens: number;
  readonly rule: string;
  readonly samples: readonly Sample[];
}

/** Depths in an order of scores, tokens. */
export interface Depth {
  readonly median: number;
  readonly p90: number;
  readonly p99: number;
  readonly most: number;
}

/** One rule at one length, over all documents. */
export interface RuleRow {
  readonly rule: string;
  readonly tokens: number;
  readonly documents: number;
  /** Bits a number, keys and values together; null for the exact order. */
  readonly bits: number | null;
  /** Median over (layer, KV head, step), logits. */
  readonly sigma: number;
  /** Of SHARES of the exact mass. */
  readonly depth: readonly Depth[];
  /** Of a fact's own tokens; null where no step asked for one. */
  readonly factDepth: Depth | null;
  /** (layer, KV head, step) that asked for a fact. */
  readonly factSamples: number;
  /** Mean exact mass of the chosen over the best, of COUNTS. */
  readonly mass: readonly number[];
  /** Root mean square of norm(output - exact) / norm(exact), of COUNTS; NaN: depths alone. */
  readonly error: readonly number[];
  /** The same with a re-ranked choice, of CANDIDATES. */
  readonly rerankedError: readonly number[];
}

/** A depth as a power of the tokens, fitted to logarithms: depth = factor * tokens^power. */
export interface Fit {
  readonly rule: string;
  /** What the depth is of: a share of the mass, or the fact. */
  readonly of: string;
  readonly factor: number;
  readonly power: number;
  /** The fit at 32,768 and 131,072 tokens. */
  readonly at32K: number;
  readonly at128K: number;
}

/** Rows in the order in which lengths and rules first come. */
export function ruleRows(
  all: readonly DocumentSamples[],
  rules: readonly Rule[],
  headDim: number,
): RuleRow[] {
  const groups = Map.groupBy(all, ({ tokens, rule }) => `${tokens} ${rule}`);
  return [...groups.values()].map((group) => {
    const [{ rule: name, tokens }] = group;
    const samples = group.flatMap((document) => document.samples);
    const rule = rules.find((each) => each.name === name);
    const facts = samples.flatMap(({ factDepth }) => factDepth ?? []);
    const each = (list: readonly unknown[], of: (sample: Sample, at: number) => number) =>
      list.map((_, at) => samples.map((sample) => of(sample, at)));
    const rms = (x: readonly number[]) => Math.sqrt(mean(x.map((value) => value * value)));
    return {
      ...{ rule: name, tokens, documents: group.length, factSamples: facts.length },
      bits: rule ? (bitsOf(rule.keys, headDim) + bitsOf(rule.values, headDim)) / 2 : null,
      sigma: quantile(samples.map(({ sigma }) => sigma), 0.5),
      depth: each(SHARES, ({ depth }, at) => depth[at]).map(depthsOf),
      factDepth: facts.length > 0 ? depthsOf(facts) : null,
      mass: each(COUNTS, ({ mass }, at) => mass[at]).map(mean),
      error: each(COUNTS, ({ error }, at) => error[at]).map(rms),
      rerankedError: each(CANDIDATES, ({ rerankedError }, at) => rerankedError[at]).map(rms),
    };
  });
}

function depthsOf(depths: readonly number[]): Depth {
  const at = (share: number) => quantile(depths, share);
  return { median: at(0.5), p90: at(0.9), p99: at(0.99), most: at(1) };
}

/** Fits of the 99th percentile of each depth, for rules with three lengths or more. */
export function fits(rows: readonly RuleRow[]): Fit[] {
  return [...Map.groupBy(rows, ({ rule }) => rule)].flatMap(([rule, of]) => {
    const shares = SHARES.map((share, at) => ({
      of: `${share * 100} % of the mass`,
      points: of.map(({ tokens, depth }) => [tokens, depth[at].p99] as const),
    }));
    const asked = of.filter(({ factDepth }) => factDepth !== null);
    const fact = {
      of: "the fact",
      points: asked.map(({ tokens, factDepth }) => [tokens, factDepth!.p99] as const),
    };
    return [...shares, fact].filter(({ points }) => points.length >= 3)
      .map(({ of, points }) => ({ rule, of, ...fitted(points) }));
  });
}

/** Least squares of log depth against log tokens. */
export function fitted(points: readonly (readonly [tokens: number, depth: number])[]) {
  const x = points.map(([tokens]) => Math.log(tokens));
  const y = points.map(([, depth]) => Math.log(depth));
  const [middleX, middleY] = [mean(x), mean(y)];
  const power = mean(x.map((at, i) => (at - middleX) * (y[i] - middleY))) /
    mean(x.map((at) => (at - middleX) ** 2));
  const factor = Math.exp(middleY - power * middleX);
  const at = (tokens: number) => factor * tokens ** power;
  return { factor, power, at32K: at(32_768), at128K: at(131_072) };
}
