// encode.ts - what a rule makes of one head's rows: coded and decoded again, in plain loops. The
// native codes of the shipped rules are held against it by the tests.
import { type Calibration, planesByGain, STEP } from "./calibrate.ts";
import type { CodeRule } from "./rule.ts";
import { type Basis, basisOf, matrix } from "./basis.ts";

const SINKS = 4; // tokens, never coded

/** Decoded rows [tokens, headDim]; those of sinks are zero. `rows` [tokens, headDim]. */
export function coded(
  rule: CodeRule,
  rows: Float32Array,
  headDim: number,
  calibration: Calibration,
): Float32Array {
  const out = new Float32Array(rows.length);
  const tokens = rows.length / headDim;
  const plan = rule.basis === "paper" ? null : planOf(rule, headDim, calibration);
  for (let first = 0; first < tokens; first += rule.page) {
    const from = Math.max(first, SINKS), to = Math.min(first + rule.page, tokens);
    if (to <= from) continue;
    const page = rows.subarray(from * headDim, to * headDim);
    const decoded = out.subarray(from * headDim, to * headDim);
    if (plan === null) paperPage(page, decoded, headDim, rule.planes, calibration.side);
    else codePage(plan, page, decoded, headDim);
  }
  return out;
}

interface Plan {
  readonly rule: CodeRule;
  readonly basis: Basis;
  /** Planes of each channel of the basis. */
  readonly planes: Uint8Array;
  /** Spread of each channel that weights are made for; 1 where all are alike. */
  readonly spread: Float64Array;
  /** Orthonormal rows [directions, headDim] along which keys are kept. */
  readonly directions: Float64Array;
}

function planOf(rule: CodeRule, headDim: number, calibration: Calibration): Plan {
  const { planes, best = 0, by = "variance", worstHeads = 0, directions = 0 } = rule;
  const own = calibration.eigen();
  const variances = rule.basis === "own" ? own.variances : calibration.variances;
  const gains = by === "pairs" ? calibration.pairEnergy : variances;
  const more = worstHeads > 0 && calibration.rank < worstHeads ? 1 : 0;
  const even = rule.basis === "hadamard";
  return {
    rule,
    basis: rule.basis === "own" ? matrix(own.rows, headDim) : basisOf(rule.basis, headDim),
    planes: planesByGain(gains, planes + more, Math.round(best * headDim)),
    spread: even ? new Float64Array(headDim).fill(1) : variances.map(Math.sqrt),
    directions: calibration.directions(directions),
  };
}

// c = the page's mean in the Hadamard's basis, in whole steps of its largest channel.
function centreOf(page: Float32Array, headDim: number, bits: number): Float64Array {
  const turn = basisOf("hadamard", headDim);
  const mean = new Float64Array(headDim);
  const tokens = page.length / headDim;
  for (let at = 0; at < page.length; at++) mean[at % headDim] += page[at] / tokens;
  turn.forward(mean);
  const levels = 2 ** (bits - 1) - 1;
  const step = mean.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / levels;
  const centre = mean.map((x) => step > 0 ? step * Math.round(x / step) : 0);
  turn.back(centre);
  return centre;
}

function codePage(plan: Plan, page: Float32Array, out: Float32Array, headDim: number): void {
  const { rule, basis, directions } = plan;
  const centre = centreOf(page, headDim, rule.centreBits);
  const tokens = page.length / headDim;
  const turned: Float64Array[] = [];
  for (let token = 0; token < tokens; token++) {
    const row = token * headDim;
    const x = new Float64Array(headDim);
    for (let i = 0; i < headDim; i++) x[i] = page[row + i] - centre[i];
    const kept = along(directions, x);
    for (let i = 0; i < headDim; i++) out[row + i] = centre[i] + kept[i];
    basis.forward(x);
    turned.push(x);
  }
  const scales = scalesOf(plan, turned);
  turned.forEach((y, token) => {
    const x = levels(plan, y, scales[token]);
    basis.back(x);
    for (let i = 0, row = token * headDim; i < headDim; i++) out[row + i] += x[i];
  });
}

// Takes what lies along the directions out of x; gives it back as 8 bits a direction keep it.
function along(directions: Float64Array, x: Float64Array): Float64Array {
  const dim = x.length;
  const dots: number[] = [];
  for (let row = 0; row < directions.length; row += dim) {
    let dot = 0;
    for (let i = 0; i < dim; i++) dot += directions[row + i] * x[i];
    dots.push(dot);
  }
  const step = Math.max(0, ...dots.map(Math.abs)) / 127;
  const kept = new Float64Array(dim);
  dots.forEach((dot, at) => {
    const rounded = step > 0 ? step * Math.round(dot / step) : 0;
    for (let i = 0; i < dim; i++) {
      x[i] -= dot * directions[at * dim + i];
      kept[i] += rounded * directions[at * dim + i];
    }
  });
  return kept;
}

// In units of the channels' spread: of the token, or of the page (root mean square).
function scalesOf({ rule, planes, spread }: Plan, turned: readonly Float64Array[]): number[] {
  const size = (y: Float64Array) => {
    let sum = 0, weight = 0;
    for (let i = 0; i < y.length; i++) {
      if (planes[i] === 0) continue;
      sum += y[i] * y[i];
      weight += spread[i] * spread[i];
    }
    return weight > 0 ? Math.sqrt(sum / weight) : 0;
  };
  if (rule.scale === "page") {
    const all = Math.sqrt(turned.reduce((sum, y) => sum + size(y) ** 2, 0) / turned.length);
    return turned.map(() => all);
  }
  if (rule.basis === "hadamard" && planes[0] === 1) { // the least-squares scale of signs
    const mean = (y: Float64Array) => y.reduce((sum, x) => sum + Math.abs(x), 0) / y.length;
    return rounded(turned.map((y) => mean(y) * 2 / STEP[1]));
  }
  return rounded(turned.map(size));
}

// To 255ths of the page's largest.
function rounded(scales: readonly number[]): number[] {
  const most = Math.max(...scales);
  return most > 0
    ? scales.map((scale) => Math.round(scale / most * 255) * most / 255)
    : [...scales];
}

// Odd multiples of half a step, as many as the channel's planes make.
function levels({ planes, spread }: Plan, y: Float64Array, scale: number): Float64Array {
  return y.map((x, i) => {
    const count = planes[i];
    const step = scale * spread[i] * STEP[count];
    if (count === 0 || step === 0) return 0;
    const most = 2 ** (count - 1) - 0.5;
    return step * Math.max(-most, Math.min(most, Math.floor(x / step) + 0.5));
  });
}

// METHOD section 1.2: keys by channel over the page, values by token over 64 channels.
function paperPage(
  page: Float32Array,
  out: Float32Array,
  headDim: number,
  bits: number,
  side: "keys" | "values",
): void {
  const tokens = page.length / headDim;
  if (side === "keys") {
    for (let i = 0; i < headDim; i++) {
      quarters(page, out, Array.from({ length: tokens }, (_, j) => j * headDim + i), bits);
    }
    return;
  }
  for (let first = 0; first < page.length; first += headDim) {
    for (let i = 0; i < headDim; i += 64) {
      const count = Math.min(64, headDim - i);
      quarters(page, out, Array.from({ length: count }, (_, j) => first + i + j), bits);
    }
  }
}

function quarters(x: Float32Array, out: Float32Array, at: readonly number[], bits: number): void {
  const numbers = at.map((i) => x[i]);
  const least = Math.min(...numbers), most = Math.max(...numbers);
  const zero = bits === 1 ? (3 * least + most) / 4 : least;
  const scale = (most - least) / (bits === 1 ? 2 : 2 ** bits - 1);
  const top = 2 ** bits - 1;
  const level = (v: number) => Math.max(0, Math.min(top, Math.round((v - zero) / scale)));
  at.forEach((i, j) => out[i] = zero + (scale > 0 ? scale * level(numbers[j]) : 0));
}
