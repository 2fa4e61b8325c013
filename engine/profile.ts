// profile.ts - what was measured once of a model (DESIGN section 4), read from a safetensors file:
//   keyBits            [layers, kvHeads]                     U8   bits of a key's channel, 1 or 2
//   valueBasis         [layers, kvHeads, headDim, headDim]   F32  orthonormal rows, y = T x
//   valuePlaneChannel  [layers, kvHeads, planes]             U32  channel of each plane
//   valuePlaneWeight   [layers, kvHeads, planes]             F32  weights of a channel descend
// Keys, or values, may be left out. __metadata__ gives the version of this format.
import { closeSync, openSync, readSync } from "node:fs";
import { SpecacheError } from "./errors.ts";
import { readFile, readMetadata, type StoredTensor } from "./model/safetensors.ts";
import type { StoreShape } from "./native_config.ts";

/** A profile in memory. */
export interface Profile {
  readonly valuePlanes: number;
  /** [layers, kvHeads], or null. */
  readonly keyBits: Uint8Array | null;
  /** [layers, kvHeads, headDim, headDim], or null. */
  readonly valueBasis: Float32Array | null;
  /** [layers, kvHeads, planes], or null. */
  readonly planeChannel: Uint32Array | null;
  readonly planeWeight: Float32Array | null;
}

/** Version of the format, and of how profiles are measured. */
export const PROFILE_VERSION = "1";

// Rows of a basis are orthonormal up to float32's rounding of head_dim products.
const ORTHONORMAL = 1e-3;

/**
 * Reads a profile and holds it against the shape of its model.
 *
 * @throws {SpecacheError} file: broken, or made for another shape
 */
export function readProfile(path: string, shape: StoreShape): Profile {
  const tensors = attempt(() => readFile(path));
  const version = attempt(() => readMetadata(path)).get("version") ?? "none";
  if (version !== PROFILE_VERSION) {
    refuse(path, `its version is ${version}, not ${PROFILE_VERSION}`);
  }
  const { layers, kvHeads, headDim } = shape;
  const heads = [layers, kvHeads];
  const planes = tensors.get("valuePlaneChannel")?.shape.at(-1) ?? 0;
  const read = (name: string, dtype: string, sizes: readonly number[]) =>
    bytesOf(path, tensors.get(name), name, dtype, sizes);
  const keys = tensors.has("keyBits") ? read("keyBits", "U8", heads) : null;
  const values = tensors.has("valueBasis");
  const profile: Profile = {
    valuePlanes: values ? planes : 0,
    keyBits: keys === null ? null : new Uint8Array(keys),
    valueBasis: values
      ? new Float32Array(read("valueBasis", "F32", [...heads, headDim, headDim]))
      : null,
    planeChannel: values
      ? new Uint32Array(read("valuePlaneChannel", "U32", [...heads, planes]))
      : null,
    planeWeight: values
      ? new Float32Array(read("valuePlaneWeight", "F32", [...heads, planes]))
      : null,
  };
  if (keys === null && !values) refuse(path, "keyBits and valueBasis are both missing");
  if (profile.keyBits !== null) checkKeyBits(path, profile.keyBits, kvHeads);
  if (profile.valueBasis !== null) checkBases(path, profile.valueBasis, headDim);
  if (values) checkPlanes(path, profile.planeChannel!, profile.planeWeight!, headDim);
  return profile;
}

function attempt<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SpecacheError)) throw error;
    const { code, message, details } = error;
    const sentence = message.replace("open model", "read profile");
    throw new SpecacheError(code, sentence, { cause: error, details: { ...details } });
  }
}

function bytesOf(
  path: string,
  tensor: StoredTensor | undefined,
  name: string,
  dtype: string,
  sizes: readonly number[],
): ArrayBuffer {
  if (tensor === undefined) refuse(path, `${name} is missing`);
  if (tensor.typeName !== dtype || `${tensor.shape}` !== `${sizes}`) {
    refuse(path, `${name} is ${tensor.typeName} [${tensor.shape}], not ${dtype} [${sizes}]`);
  }
  const width = dtype === "U8" ? 1 : 4;
  const bytes = new Uint8Array(sizes.reduce((product, n) => product * n, width));
  const file = openSync(path, "r");
  try {
    readSync(file, bytes, 0, bytes.length, tensor.offset);
  } finally {
    closeSync(file);
  }
  return bytes.buffer;
}

function checkKeyBits(path: string, bits: Uint8Array, kvHeads: number): void {
  const at = bits.findIndex((count) => count !== 1 && count !== 2);
  if (at === -1) return;
  const head = `layer ${Math.floor(at / kvHeads)}, KV head ${at % kvHeads}`;
  refuse(path, `keyBits ${bits[at]} of ${head} is neither 1 nor 2`);
}

function checkPlanes(path: string, channels: Uint32Array, weights: Float32Array, dim: number) {
  channels.forEach((channel, at) => {
    if (channel >= dim) refuse(path, `channel ${channel} of plane ${at} is not below ${dim}`);
    const weight = weights[at];
    if (weight > 0 && weight < Infinity) return;
    refuse(path, `weight ${weight} of plane ${at} is not a positive number`);
  });
}

function checkBases(path: string, bases: Float32Array, dim: number): void {
  for (let at = 0; at < bases.length; at += dim * dim) {
    for (let row = 0; row < dim; row++) {
      for (let other = 0; other <= row; other++) {
        let dot = 0;
        for (let i = 0; i < dim; i++) {
          dot += bases[at + row * dim + i] * bases[at + other * dim + i];
        }
        const off = Math.abs(dot - (row === other ? 1 : 0));
        if (off <= ORTHONORMAL) continue;
        refuse(
          path,
          `rows ${row} and ${other} of basis ${
            at / (dim * dim)
          } are ${off} off orthonormal, above ` +
            `${ORTHONORMAL}`,
        );
      }
    }
  }
}

function refuse(path: string, fault: string): never {
  throw new SpecacheError("file", `Cannot read profile: ${path}: ${fault}`, { details: { path } });
}
