// gguf_types.ts - GGML's types of tensors: values and bytes of a block, by number. Those without a
// native type are here so that they are refused by name.
import { tensorTypes } from "./roles.ts";

/** A type of tensor in a GGUF file. */
export interface GgufType {
  readonly name: string;
  /** Number of the native type, or null for one that is not offered. */
  readonly type: number | null;
  /** Values in a block. */
  readonly values: number;
  /** Bytes of a block. */
  readonly bytes: number;
}

// Number, name, values, bytes; a fifth is the native type.
const rows: readonly (readonly [number, string, number, number, number?])[] = [
  [0, "F32", 1, 4, tensorTypes.f32],
  [1, "F16", 1, 2, tensorTypes.f16],
  [2, "Q4_0", 32, 18, tensorTypes.q4_0],
  [3, "Q4_1", 32, 20, tensorTypes.q4_1],
  [6, "Q5_0", 32, 22],
  [7, "Q5_1", 32, 24],
  [8, "Q8_0", 32, 34, tensorTypes.q8_0],
  [9, "Q8_1", 32, 40],
  [10, "Q2_K", 256, 84],
  [11, "Q3_K", 256, 110],
  [12, "Q4_K", 256, 144, tensorTypes.q4_k],
  [13, "Q5_K", 256, 176, tensorTypes.q5_k],
  [14, "Q6_K", 256, 210, tensorTypes.q6_k],
  [15, "Q8_K", 256, 292],
  [16, "IQ2_XXS", 256, 66],
  [17, "IQ2_XS", 256, 74],
  [18, "IQ3_XXS", 256, 98],
  [19, "IQ1_S", 256, 50],
  [20, "IQ4_NL", 32, 18],
  [21, "IQ3_S", 256, 110],
  [22, "IQ2_S", 256, 82],
  [23, "IQ4_XS", 256, 136],
  [24, "I8", 1, 1],
  [25, "I16", 1, 2],
  [26, "I32", 1, 4],
  [27, "I64", 1, 8],
  [28, "F64", 1, 8],
  [29, "IQ1_M", 256, 56],
  [30, "BF16", 1, 2, tensorTypes.bf16],
  [34, "TQ1_0", 256, 54],
  [35, "TQ2_0", 256, 66],
  [39, "MXFP4", 32, 17],
];

/** Types by GGML's number. */
export const ggufTypes: ReadonlyMap<number, GgufType> = new Map(
  rows.map(([number, name, values, bytes, type = null]) => [number, { name, type, values, bytes }]),
);
