// profiles.ts - random profiles as safetensors files, and ways to break them.
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { randomNumbers } from "./kv.ts";

/** Sizes that a profile is made for. */
export interface ProfileShape {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** One tensor of a file. */
export interface FileTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: Uint8Array | Float32Array | Uint32Array;
}

/** Tensors by name. */
export type FileTensors = Record<string, FileTensor>;

/** A random orthonormal basis of `dim` rows, by Gram and Schmidt in float64. */
function randomBasis(dim: number, seed: number): number[] {
  const rows: number[][] = [];
  const numbers = randomNumbers(dim * dim, seed);
  for (let at = 0; at < dim; at++) {
    let row = Array.from(numbers.subarray(at * dim, (at + 1) * dim));
    for (let pass = 0; pass < 2; pass++) { // once more, for what rounding left
      for (const earlier of rows) {
        const dot = row.reduce((sum, number, i) => sum + number * earlier[i], 0);
        row = row.map((number, i) => number - dot * earlier[i]);
      }
    }
    const length = Math.hypot(...row);
    rows.push(row.map((number) => number / length));
  }
  return rows.flat();
}

/** A profile: random bases, 1 or 2 bits a key, headDim / 4 planes on the first channels. */
export function randomProfile({ layers, kvHeads, headDim }: ProfileShape): FileTensors {
  const heads = layers * kvHeads;
  const planes = headDim / 4;
  const each = <T>(value: (head: number) => readonly T[]) =>
    Array.from({ length: heads }, (_, head) => value(head)).flat();
  const tensor = (dtype: string, sizes: number[], data: FileTensor["data"]) => ({
    dtype,
    shape: [layers, kvHeads, ...sizes],
    data,
  });
  return {
    keyBits: tensor("U8", [], Uint8Array.from({ length: heads }, (_, head) => 1 + head % 2)),
    valueBasis: tensor(
      "F32",
      [headDim, headDim],
      Float32Array.from(each((head) => randomBasis(headDim, 100 + head))),
    ),
    // Two planes of a channel have weights 2 and 1.
    valuePlaneChannel: tensor(
      "U32",
      [planes],
      Uint32Array.from(each(() => Array.from({ length: planes }, (_, plane) => plane >> 1))),
    ),
    valuePlaneWeight: tensor(
      "F32",
      [planes],
      Float32Array.from(each(() => Array.from({ length: planes }, (_, plane) => 2 - plane % 2))),
    ),
  };
}

/** The bytes of a safetensors file, of the version that is read or of another. */
export function safetensors(tensors: FileTensors, metadata = { version: "1" }): Buffer {
  const header: Record<string, unknown> = { __metadata__: metadata };
  const parts: Buffer[] = [];
  let at = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
    parts.push(bytes);
    at += bytes.length;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, ...parts]);
}

/** Writes a profile; answers its path. */
export function writeProfile(path: string, tensors: FileTensors): string {
  writeFileSync(path, safetensors(tensors));
  return path;
}
