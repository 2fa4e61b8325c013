// roles.ts - the numbers by which native code knows tensors: what they are for, and their types.
export { roles } from "../../ffi/constants.ts";

/** Types of weights, as specache_tensor counts them. */
export const tensorTypes = {
  ...{ f32: 0, f16: 1, bf16: 2, q8_0: 3, q4_0: 4, q4_1: 5, q4_k: 6, q5_k: 7, q6_k: 8 },
} as const;
