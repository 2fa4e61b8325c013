// weights.ts - measures what a model's weights cost here, on its first layers, or on a made-up
// model of zeros where only the number of bytes is known.
import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ModelDescription, TensorPlace } from "../model/describe.ts";
import { roles, tensorTypes } from "../model/roles.ts";
import { NativeStore } from "../native.ts";
import type { StoreShape } from "../native_config.ts";
import type { Profile } from "../profile.ts";
import type { Settings } from "../settings.ts";
import { lateOf, plainProfile, sampleSettings, temporaryFolder } from "./attention.ts";
import { median } from "./numbers.ts";

/** What weights cost, in seconds. */
export interface WeightTimes {
  /** Bytes that a step reads. */
  readonly bytes: number;
  /** A step behind `tokens` tokens, attention included. */
  readonly step: number;
  /** A prefill of that many tokens, by the token, attention included. */
  readonly prefillToken: number;
  /** 0: attention is next to nothing of the times. */
  readonly tokens: number;
}

/** Bits of a number of each type, blocks' scales included. */
export const typeBits: Readonly<Record<keyof typeof tensorTypes, number>> = {
  ...{ f32: 32, f16: 16, bf16: 16, q8_0: 8.5, q4_0: 4.5, q4_1: 5 },
  ...{ q4_k: 4.5, q5_k: 5.5, q6_k: 6.5625 }, // 144, 176 and 210 bytes for 256
};

const ACTION = "measure weights";
const SAMPLE_BYTES = 2 ** 27; // more layers are not run; caches hold less
const TOKENS = 64;
const STEPS = 9;
const HIDDEN_MAX = 4096;
const names = Object.keys(tensorTypes) as (keyof typeof tensorTypes)[];

const bytesOf = ({ rows, columns, type }: TensorPlace) =>
  rows * columns * typeBits[names[type]] / 8;

/** Bytes of weights that a step reads: all, but one row of an embedding that is no output too. */
export function weightBytes({ tensors, tied }: ModelDescription): number {
  const read = tensors.filter(({ role }) => tied || role !== roles.embedding);
  return read.reduce((sum, tensor) => sum + bytesOf(tensor), 0);
}

/** Measures a model: some of its layers, from which the others follow. */
export function measureModel(
  model: ModelDescription,
  settings: Settings,
  profile: Profile | null,
  inputs: number,
): WeightTimes {
  const layer = model.tensors.filter(({ name, layer }) => layer === 0 && /\d/.test(name))
    .reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  const many = Math.min(model.layers, Math.max(2, Math.floor(SAMPLE_BYTES / Math.max(layer, 1))));
  const some = runLayers(model, many, settings, profile, inputs);
  const bytes = weightBytes(model);
  if (many === model.layers) return { bytes, tokens: TOKENS, ...some };
  const one = runLayers(model, 1, settings, profile, inputs);
  const extend = (of: "step" | "prefillToken") =>
    one[of] + Math.max(0, some[of] - one[of]) / (many - 1) * (model.layers - 1);
  return { bytes, tokens: TOKENS, step: extend("step"), prefillToken: extend("prefillToken") };
}

function runLayers(
  model: ModelDescription,
  layers: number,
  settings: Settings,
  profile: Profile | null,
  inputs: number,
): Pick<WeightTimes, "step" | "prefillToken"> {
  const part = { ...model, layers, tensors: model.tensors.filter(({ layer }) => layer < layers) };
  const far = settings.farFile === null ? null : temporaryFolder(tmpdir(), ACTION);
  const own = sampleSettings(settings, 2 * TOKENS, far && join(far, "far"));
  const store = NativeStore.open(own, part, profile && plainProfile(profile, part), ACTION);
  try {
    store.loadModel(part);
    const sequence = store.openSequence();
    const ids = Array.from({ length: TOKENS }, (_, at) => (at * 37 + 11) % model.vocabulary);
    store.prefill(sequence, ids.slice(0, 2), null); // brings the file into memory
    store.truncate(sequence, 0);
    const started = performance.now();
    store.prefill(sequence, ids, null);
    const prefillToken = (performance.now() - started) / 1000 / TOKENS;
    const request = { k: own.k, late: lateOf(own) };
    const times = Array.from({ length: STEPS }, () => {
      const started = performance.now();
      store.step(sequence, ids.slice(0, inputs), 1, request, null);
      store.keep(sequence, 0);
      return (performance.now() - started) / 1000;
    });
    return { step: median(times.slice(1)), prefillToken };
  } finally {
    store.close();
    if (far !== null) rmSync(far, { recursive: true, force: true });
  }
}

/** Measures `bytes` of weights of a type on a made-up model of that shape. */
export function measureBytes(
  bytes: number,
  type: keyof typeof tensorTypes,
  shape: StoreShape,
  settings: Settings,
  inputs: number,
): WeightTimes {
  const folder = temporaryFolder(tmpdir(), ACTION);
  try {
    const model = madeUp(join(folder, "weights"), type, shape);
    const { step, prefillToken } = runLayers(model, model.layers, settings, null, inputs);
    const factor = bytes / weightBytes(model);
    return { bytes, tokens: 0, step: step * factor, prefillToken: prefillToken * factor };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// A file of zeros without blocks of its own on the disk: what is read are pages all the same.
function madeUp(
  path: string,
  type: keyof typeof tensorTypes,
  { headDim, ...shape }: StoreShape,
): ModelDescription {
  const queryHeads = Math.min(shape.queryHeads, Math.floor(HIDDEN_MAX / headDim));
  const kvHeads = queryHeads; // bytes count here, not what they are for
  const hidden = queryHeads * headDim;
  const [intermediate, vocabulary] = [3 * hidden, 256];
  let offset = 0;
  const tensors: TensorPlace[] = [];
  const add = (role: number, layer: number, rows: number, columns: number, plain = false) => {
    const tensor = {
      ...{ role, layer, rows, columns, path, offset, name: `${role}.${layer}` },
      type: tensorTypes[plain ? "f32" : type],
    };
    tensors.push(tensor);
    offset += Math.ceil(bytesOf(tensor) / 64) * 64;
  };
  add(roles.embedding, 0, vocabulary, hidden);
  add(roles.outputNorm, 0, 1, hidden, true);
  const layerNumbers = hidden * (2 * hidden + 2 * kvHeads * headDim + 3 * intermediate);
  const layerBytes = layerNumbers * typeBits[type] / 8;
  const layers = Math.min(64, Math.max(1, Math.round(SAMPLE_BYTES / layerBytes)));
  for (let layer = 0; layer < layers; layer++) {
    for (const role of [roles.attentionNorm, roles.mlpNorm]) add(role, layer, 1, hidden, true);
    for (const role of [roles.query, roles.attentionOutput]) add(role, layer, hidden, hidden);
    for (const role of [roles.key, roles.value]) add(role, layer, kvHeads * headDim, hidden);
    for (const role of [roles.mlpGate, roles.mlpUp]) add(role, layer, intermediate, hidden);
    add(roles.mlpDown, layer, hidden, intermediate);
  }
  writeFileSync(path, "");
  truncateSync(path, offset);
  return {
    ...{ name: "made up", architecture: "llama", layers, queryHeads, kvHeads, headDim, hidden },
    ...{ intermediate, vocabulary, epsilon: 1e-5, tokensMax: 4096, ropeNeighbours: false },
    ...{ ropeMagnitude: 1, frequencies: new Float64Array(headDim / 2).fill(1) },
    ...{ queryKeyNorms: false, tied: true, bos: null, eos: [], addBos: false, tensors },
  };
}
