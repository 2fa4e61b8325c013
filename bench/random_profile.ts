// random_profile.ts - a profile for random rows: one random orthonormal basis, which all heads
// share, for rows of no direction have no better one.
import type { Profile } from "../engine/profile.ts";
import { noise } from "./walk.ts";

/** What a random profile is made for. */
export interface RandomProfile {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Planes of a value, on the first channels. */
  readonly planes: number;
  /** Bits of a key in every head; left out: the settings' own. */
  readonly keyBits?: 1 | 2;
}

/** A random profile. */
export function randomProfile(wanted: RandomProfile): Profile {
  const { layers, kvHeads, headDim, planes, keyBits } = wanted;
  const heads = layers * kvHeads;
  const basis = orthonormal(noise(headDim * headDim, 3), headDim);
  const valueBasis = new Float32Array(heads * basis.length);
  for (let head = 0; head < heads; head++) valueBasis.set(basis, head * basis.length);
  return {
    valuePlanes: planes,
    keyBits: keyBits === undefined ? null : new Uint8Array(heads).fill(keyBits),
    valueBasis,
    planeChannel: Uint32Array.from({ length: heads * planes }, (_, i) => i % planes),
    planeWeight: new Float32Array(heads * planes).fill(0.8), // that of a sign of a unit Gaussian
  };
}

/** Rows made orthonormal one after the other (Gram and Schmidt). */
function orthonormal(rows: Float32Array, count: number): Float32Array {
  const row = (i: number) => rows.subarray(i * count, (i + 1) * count);
  const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  for (let i = 0; i < count; i++) {
    for (let pass = 0; pass < 2; pass++) { // twice, for what rounding left
      for (let j = 0; j < i; j++) {
        const part = dot(row(i), row(j));
        row(j).forEach((x, at) => row(i)[at] -= part * x);
      }
    }
    const norm = Math.sqrt(dot(row(i), row(i)));
    row(i).forEach((x, at) => row(i)[at] = x / norm);
  }
  return rows;
}
