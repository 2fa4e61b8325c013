// attention.ts - one head's attention in one step, as every rule would have it: which tokens it
// chooses, how deep in its order the exact mass lies, how far its output strays.
import type { HeadCapture } from "./capture.ts";

const SINKS = 4; // tokens
const PAGE = 64; // tokens

/** One step of one KV head, seen exactly. */
export interface ExactStep {
  /** Tokens seen, the step's own with them. */
  readonly seen: number;
  /** Tail tokens: from SINKS up to here. */
  readonly tailEnd: number;
  /** Scores [group][seen], logits. */
  readonly scores: readonly Float64Array[];
  /** Attention output [group][headDim]. */
  readonly outputs: readonly Float64Array[];
  /** Exact value of each token: the group's mean probability [seen]. */
  readonly values: Float64Array;
  /** Tail tokens by falling exact value. */
  readonly order: Uint32Array;
}

/** Exact attention of a step; null where nothing of the text would be coded yet. */
export function exactStep(head: HeadCapture, step: number): ExactStep | null {
  const { headDim, group, queries } = head;
  const seen = head.positions[step] + 1;
  const tailEnd = tailOf(head.positions[step]);
  if (tailEnd <= SINKS) return null;
  const scores = Array.from(
    { length: group },
    (_, g) => scoresOf(queries[step], g * headDim, head.keys, seen, headDim),
  );
  const weights = scores.map(softmax);
  const values = meanOf(weights);
  const outputs = weights.map((of) => {
    const sum = new Float64Array(headDim + 1);
    for (let token = 0; token < seen; token++) add(sum, of[token], head.values, token);
    return sum.subarray(0, headDim);
  });
  return { seen, tailEnd, scores, outputs, values, order: byValue(values, tailEnd) };
}

/** End of the tail of the input at a position: page p is coded if 64 (p + 1) + 64 <= position. */
export function tailOf(position: number): number {
  return Math.max(0, Math.floor((position - PAGE) / PAGE)) * PAGE;
}

/** A step's attention over coded keys. */
export interface CodedStep {
  /** Scores [group][tailEnd], logits; those of sinks are not used. */
  readonly scores: readonly Float64Array[];
  /** Tail tokens by falling code value. */
  readonly order: Uint32Array;
}

/** Scores the tail by decoded `keys` [tokens, headDim], and orders it. */
export function codedStep(
  head: HeadCapture,
  step: number,
  exact: ExactStep,
  keys: Float32Array,
): CodedStep {
  const { headDim, queries } = head;
  const { tailEnd } = exact;
  const scores = exact.scores.map((_, g) =>
    scoresOf(queries[step], g * headDim, keys, tailEnd, headDim)
  );
  const weights = scores.map((of, g) => softmax(mixed(exact.scores[g], of, tailEnd)));
  return { scores, order: byValue(meanOf(weights), tailEnd) };
}

/**
 * What gives the outputs [group][headDim] where `chosen` tail tokens are exact and the rest of the
 * tail is seen by its codes: the sum over the whole tail is made once, chosen tokens are exchanged.
 */
export function mixedOutputs(
  head: HeadCapture,
  exact: ExactStep,
  coded: CodedStep,
  values: Float32Array,
): (chosen: Uint32Array) => Float64Array[] {
  const { headDim } = head;
  const { tailEnd, seen } = exact;
  const parts = exact.scores.map((scores, g) => {
    const own = coded.scores[g];
    let most = -Infinity;
    for (let token = 0; token < seen; token++) most = Math.max(most, scores[token]);
    for (let token = SINKS; token < tailEnd; token++) most = Math.max(most, own[token]);
    const sum = new Float64Array(headDim + 1); // the last: of the weights
    for (let token = 0; token < seen; token++) {
      const tail = token >= SINKS && token < tailEnd;
      const weight = Math.exp((tail ? own[token] : scores[token]) - most);
      add(sum, weight, tail ? values : head.values, token);
    }
    return { scores, own, most, sum };
  });
  return (chosen) =>
    parts.map(({ scores, own, most, sum }) => {
      const out = sum.slice();
      for (const token of chosen) {
        add(out, -Math.exp(own[token] - most), values, token);
        add(out, Math.exp(scores[token] - most), head.values, token);
      }
      return out.subarray(0, headDim).map((x) => x / out[headDim]);
    });
}

// Adds a weighted row to sums [headDim], and the weight to their last number.
function add(sum: Float64Array, weight: number, rows: Float32Array, token: number): void {
  if (Math.abs(weight) < 1e-9) return; // beside weights up to 1: far below any figure shown
  const dim = sum.length - 1;
  const row = token * dim;
  for (let i = 0; i < dim; i++) sum[i] += weight * rows[row + i];
  sum[dim] += weight;
}

/** Place in `order`, from 1, at which `share` of the tail's sum of `values` is reached. */
export function depthOf(order: Uint32Array, values: Float64Array, share: number): number {
  let all = 0;
  for (const token of order) all += values[token];
  let sum = 0;
  for (let place = 0; place < order.length; place++) {
    sum += values[order[place]];
    if (sum >= share * all) return place + 1;
  }
  return order.length;
}

/** The best `count` of the first `candidates` of `order` by exact value: a re-ranked choice. */
export function reranked(
  order: Uint32Array,
  candidates: number,
  count: number,
  { values }: ExactStep,
): Uint32Array {
  return order.slice(0, candidates).sort((a, b) => values[b] - values[a] || a - b).slice(0, count);
}

// The tail but for sinks is `codes`, everything else exact.
function mixed(exact: Float64Array, codes: Float64Array, tailEnd: number): Float64Array {
  const scores = exact.slice();
  for (let token = SINKS; token < tailEnd; token++) scores[token] = codes[token];
  return scores;
}

function scoresOf(
  query: Float32Array,
  at: number,
  keys: Float32Array,
  tokens: number,
  dim: number,
): Float64Array {
  const scores = new Float64Array(tokens);
  const scale = 1 / Math.sqrt(dim);
  for (let token = 0; token < tokens; token++) {
    const row = token * dim;
    let a = 0, b = 0, c = 0, d = 0; // four sums side by side: headDim is a multiple of 8
    for (let i = 0; i < dim; i += 4) {
      a += query[at + i] * keys[row + i];
      b += query[at + i + 1] * keys[row + i + 1];
      c += query[at + i + 2] * keys[row + i + 2];
      d += query[at + i + 3] * keys[row + i + 3];
    }
    scores[token] = (a + b + c + d) * scale;
  }
  return scores;
}

function softmax(scores: Float64Array): Float64Array {
  let most = -Infinity;
  for (const score of scores) if (score > most) most = score;
  let sum = 0;
  const weights = new Float64Array(scores.length);
  for (let i = 0; i < scores.length; i++) sum += weights[i] = Math.exp(scores[i] - most);
  for (let i = 0; i < scores.length; i++) weights[i] /= sum;
  return weights;
}

function meanOf(weights: readonly Float64Array[]): Float64Array {
  const out = new Float64Array(weights[0].length);
  for (const of of weights) for (let i = 0; i < out.length; i++) out[i] += of[i] / weights.length;
  return out;
}

// Falling value, ties to the lower token. A float32's bits sort as the number does where it is not
// negative; with the token behind them both fit a double's 53 bits, and typed arrays sort fast.
const TOKENS = 2 ** 21;
function byValue(values: Float64Array, tailEnd: number): Uint32Array {
  const bits = new Uint32Array(Float32Array.from(values).buffer);
  const keys = new Float64Array(tailEnd - SINKS);
  for (let token = SINKS; token < tailEnd; token++) {
    keys[token - SINKS] = (0x7f800000 - bits[token]) * TOKENS + token;
  }
  return Uint32Array.from(keys.sort(), (key) => key % TOKENS);
}
