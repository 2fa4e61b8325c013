// rope.ts - frequencies of rotary positions, in double: default, linear, llama3, yarn.
import { broken, unsupported } from "./faults.ts";

/** Scaling as config.json names it. */
export interface RopeScaling extends Readonly<Record<string, unknown>> {
  readonly type: string;
  /** Base of the frequencies. */
  readonly theta: number;
}

/** Rope as the native code uses it. */
export interface Rope {
  /** Radians per position, [headDim / 2]. */
  readonly frequencies: Float64Array;
  /** Factor of sine and cosine. */
  readonly magnitude: number;
}

// Far above every model; only so that a wrong number cannot ask for all memory.
const headDimMax = 4096;

/** The frequencies of a scaling; positions is the model's own limit. */
export function ropeFrequencies(
  path: string,
  headDim: number,
  positions: number,
  scaling: RopeScaling,
): Rope {
  if (headDim % 2 !== 0 || headDim > headDimMax) {
    broken(path, `the head size ${headDim} is not an even number of at most ${headDimMax}`);
  }
  const part = scaling.partial_rotary_factor ?? 1;
  if (part !== 1) {
    unsupported(path, `partial_rotary_factor ${String(part)}: all channels must turn, not a part`);
  }
  const plain = Float64Array.from(
    { length: headDim / 2 },
    (_, i) => scaling.theta ** (-2 * i / headDim),
  );
  const number = (name: string, standard?: number) => fieldOf(path, scaling, name, standard);
  switch (scaling.type) {
    case "default":
      return { frequencies: plain, magnitude: 1 };
    case "linear":
      return { frequencies: plain.map((f) => f / number("factor")), magnitude: 1 };
    case "llama3":
      return { frequencies: llama3(path, plain, positions, number), magnitude: 1 };
    case "yarn":
      return yarn(plain, headDim, positions, scaling, number);
    default:
      return unsupported(
        path,
        `rope type ${scaling.type} is none of default, linear, llama3, yarn`,
      );
  }
}

type Field = (name: string, standard?: number) => number;

function fieldOf(path: string, scaling: RopeScaling, name: string, standard?: number): number {
  const value = scaling[name] ?? standard;
  if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
  return broken(path, `${name} ${JSON.stringify(value)} of rope is not a positive number`);
}

// Llama 3.1: slow frequencies (fewer than low_freq_factor turns in the original context) are
// divided by the factor, fast ones kept, those between blended.
function llama3(
  path: string,
  plain: Float64Array,
  positions: number,
  number: Field,
): Float64Array {
  const factor = number("factor");
  const low = number("low_freq_factor");
  const high = number("high_freq_factor");
  if (high <= low) broken(path, `high_freq_factor ${high} is not above low_freq_factor ${low}`);
  const original = number("original_max_position_embeddings", positions);
  return plain.map((frequency) => {
    const turns = original * frequency / (2 * Math.PI);
    const smooth = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return (1 - smooth) * frequency / factor + smooth * frequency;
  });
}

// YaRN (Peng et al. 2023, sections 3.2 and 3.4): dimensions that turn more than beta_fast times in
// the original context are kept, those below beta_slow divided, a ramp between; attention scaled.
function yarn(
  plain: Float64Array,
  headDim: number,
  positions: number,
  scaling: RopeScaling,
  number: Field,
): Rope {
  const original = number("original_max_position_embeddings", positions);
  const factor = number("factor", positions / original);
  const dimension = (turns: number) =>
    headDim * Math.log(original / (turns * 2 * Math.PI)) / (2 * Math.log(scaling.theta));
  const exact = scaling.truncate === false;
  const fast = dimension(number("beta_fast", 32));
  const slow = dimension(number("beta_slow", 1));
  const low = Math.max(exact ? fast : Math.floor(fast), 0);
  const high = Math.min(exact ? slow : Math.ceil(slow), headDim - 1);
  const span = low === high ? 0.001 : high - low;
  const frequencies = plain.map((frequency, i) => {
    const interpolated = Math.min(1, Math.max(0, (i - low) / span));
    return frequency / factor * interpolated + frequency * (1 - interpolated);
  });
  return { frequencies, magnitude: yarnMagnitude(factor, scaling, number) };
}

function yarnMagnitude(factor: number, scaling: RopeScaling, number: Field): number {
  if (typeof scaling.attention_factor === "number") return number("attention_factor");
  const scale = (m: number) => factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1;
  const { mscale, mscale_all_dim: all } = scaling;
  if (typeof mscale === "number" && typeof all === "number" && mscale !== 0 && all !== 0) {
    return scale(mscale) / scale(all);
  }
  return scale(1);
}
