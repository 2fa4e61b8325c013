// profile_measure.ts - measures a model's profile: the model reads a text once, in mode full.
//
//   values   covariance of (value - page mean) -> basis and planes of each head
//   keys     E|q|^2 E|key - page mean|^2: how far the scores of a 1-bit code stray. The tenth of
//            the heads where this is largest gets 2 bits (METHOD section 7, fourth run)
//
// Queries are seen where a token runs as a step, so every 64th does.
import type { ModelDescription } from "./model/describe.ts";
import { NativeStore } from "./native.ts";
import type { StoreShape } from "./native_config.ts";
import type { Profile } from "./profile.ts";
import { planesOf, valueCode } from "./profile_values.ts";
import { settle } from "./settings.ts";

/** A profile and what it was made from. */
export interface MeasuredProfile extends Profile {
  /** E|q|^2 E|key - page mean|^2 / headDim, logits squared [layers, kvHeads]. */
  readonly keyStray: Float64Array;
  /** Share of the values' variance that planes take away [layers, kvHeads]. */
  readonly explained: Float64Array;
  /** Tokens read. */
  readonly tokens: number;
}

/** How a profile is measured. */
export interface MeasureOptions {
  readonly description: ModelDescription;
  /** The text's token ids. */
  readonly ids: readonly number[];
  /** Compute threads; 0: the machine's cores. */
  readonly threads: number;
  /** Told of tokens read, and of all. */
  readonly progress?: (done: number, of: number) => void;
  /** Gives up, with null, where the first tokens show that it would take longer. */
  readonly limitMs?: number;
}

const PAGE = 64; // tokens
const SINKS = 4; // tokens, outside of statistics
const TWO_BIT_SHARE = 0.1; // of the heads

/**
 * Measures a profile, or null past the time limit.
 *
 * @throws {SpecacheError} as opening an engine does
 */
export function measureProfile(options: MeasureOptions): MeasuredProfile | null {
  const { description, ids, threads } = options;
  const settings = settle({ mode: "full", threads: threads || undefined }, ids.length, null, READ);
  const store = NativeStore.open(settings, description, null, READ);
  try {
    store.loadModel(description);
    store.record();
    const sequence = store.openSequence();
    const queryEnergy = readText(store, sequence, options);
    return queryEnergy === null ? null : profileOf(store, sequence, options, queryEnergy);
  } finally {
    store.close();
  }
}

const READ = "measure a profile";

// Mean over places and the group's query heads of |q|^2, [layers, kvHeads]; null: given up.
function readText(
  store: NativeStore,
  sequence: bigint,
  { description, ids, progress, limitMs = Infinity }: MeasureOptions,
): Float64Array | null {
  const energy = new Float64Array(description.layers * description.kvHeads);
  const started = performance.now();
  let places = 0;
  for (let at = 0; at < ids.length;) {
    const end = Math.min(at + PAGE - 1, ids.length - 1);
    if (end > at) store.prefill(sequence, ids.slice(at, end), null);
    store.step(sequence, [ids[end]], 1, { k: 0, late: "none" }, null);
    store.keep(sequence, 1);
    addEnergy(energy, store.recorded(description), description);
    places++;
    at = end + 1;
    progress?.(at, ids.length);
    if ((performance.now() - started) * ids.length / at > limitMs) return null;
  }
  return energy.map((sum) => sum / places);
}

function addEnergy(energy: Float64Array, queries: Float32Array, shape: StoreShape): void {
  const { kvHeads, queryHeads, headDim } = shape;
  const group = queryHeads / kvHeads;
  const width = group * headDim; // numbers of a group's queries
  for (let head = 0; head < energy.length; head++) {
    const own = queries.subarray(head * width, (head + 1) * width);
    energy[head] += own.reduce((sum, x) => sum + x * x, 0) / group;
  }
}

function profileOf(
  store: NativeStore,
  sequence: bigint,
  { description, ids }: MeasureOptions,
  queryEnergy: Float64Array,
): MeasuredProfile {
  const { layers, kvHeads, headDim } = description;
  const heads = layers * kvHeads;
  const planes = planesOf(headDim);
  const profile = {
    valuePlanes: planes,
    valueBasis: new Float32Array(heads * headDim * headDim),
    planeChannel: new Uint32Array(heads * planes),
    planeWeight: new Float32Array(heads * planes),
    keyStray: new Float64Array(heads),
    explained: new Float64Array(heads),
  };
  for (let layer = 0; layer < layers; layer++) {
    const { keys, values } = store.rows(sequence, layer, ids.length, description);
    for (let head = 0; head < kvHeads; head++) {
      const at = layer * kvHeads + head;
      const key = centred(keys, head, ids.length, description);
      profile.keyStray[at] = queryEnergy[at] * energyOf(key) / headDim;
      const value = centred(values, head, ids.length, description);
      const code = valueCode(covarianceOf(value, headDim), headDim, planes);
      profile.valueBasis.set(code.basis, at * headDim * headDim);
      profile.planeChannel.set(code.channel, at * planes);
      profile.planeWeight.set(code.weight, at * planes);
      profile.explained[at] = code.explained;
    }
  }
  return { ...profile, keyBits: keyBitsOf(profile.keyStray), tokens: ids.length };
}

/** One head's rows without their page's mean [tokens - sinks, headDim]; sinks are left out. */
export function centred(
  rows: Float32Array,
  head: number,
  tokens: number,
  { kvHeads, headDim }: StoreShape,
): Float64Array {
  const out = new Float64Array(Math.max(0, tokens - SINKS) * headDim);
  const row = (token: number) => (token * kvHeads + head) * headDim;
  for (let first = SINKS; first < tokens; first = nextPage(first)) {
    const end = Math.min(nextPage(first), tokens);
    for (let i = 0; i < headDim; i++) {
      let mean = 0;
      for (let token = first; token < end; token++) mean += rows[row(token) + i] / (end - first);
      for (let token = first; token < end; token++) {
        out[(token - SINKS) * headDim + i] = rows[row(token) + i] - mean;
      }
    }
  }
  return out;
}

function nextPage(token: number): number {
  return (Math.floor(token / PAGE) + 1) * PAGE;
}

function energyOf(rows: Float64Array): number {
  return rows.reduce((sum, x) => sum + x * x, 0) / rows.length;
}

function covarianceOf(rows: Float64Array, dim: number): Float64Array {
  const sums = new Float64Array(dim * dim);
  for (let at = 0; at < rows.length; at += dim) {
    for (let i = 0; i < dim; i++) {
      const x = rows[at + i];
      for (let j = 0; j <= i; j++) sums[i * dim + j] += x * rows[at + j];
    }
  }
  const count = rows.length / dim;
  for (let i = 0; i < dim; i++) {
    for (let j = 0; j <= i; j++) sums[i * dim + j] = sums[j * dim + i] = sums[i * dim + j] / count;
  }
  return sums;
}

/** 2 bits where keys stray most, 1 elsewhere [layers * kvHeads]. */
export function keyBitsOf(stray: Float64Array): Uint8Array {
  const worst = Array.from(stray.keys()).sort((a, b) => stray[b] - stray[a] || a - b);
  const bits = new Uint8Array(stray.length).fill(1);
  for (const head of worst.slice(0, Math.ceil(stray.length * TWO_BIT_SHARE))) bits[head] = 2;
  return bits;
}
