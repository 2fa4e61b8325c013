// limits.ts - what a kernel may take, on every target. They are stated by hand: a kernel that needs
// more has a line and a reason here.

/** The most, or least, of one kernel. */
export interface KernelLimits {
  readonly registers: number;
  /** Of a block, static and dynamic. */
  readonly sharedBytes: number;
  readonly stackBytes: number;
  /** Written and read again; 0 unless a line below tells why. */
  readonly spillBytes: number;
  /** The least share of a multiprocessor's warps. */
  readonly warpShare: number;
  /** What a launch adds to the kernel's own shared memory, at most. */
  readonly dynamicSharedBytes: number;
}

/** Of a kernel without a line of its own; a block of 128 threads then fits 8 times on sm_80 (164
 * KiB) by shared memory, and its 64 registers leave 32 warps. */
export const COMMON_LIMITS: KernelLimits = {
  registers: 64,
  sharedBytes: 18 * 1024,
  stackBytes: 0,
  spillBytes: 0,
  warpShare: 0.4,
  dynamicSharedBytes: 0,
};

const OWN: Readonly<Record<string, Partial<KernelLimits>>> = {
  // Products of 32 planes by 8 queries, of a page and of all, beside the weights they are made of:
  // 80 registers leave 3 blocks of 256 threads.
  attend_codes: { registers: 80, warpShare: 0.35 },
  attend_exact: { registers: 72 }, // sm_120: unrolled further than elsewhere
  // A page of keys or values of head_dim 256 in shared memory; its stages are functions of their
  // own, whose calls need a stack. Runs once in 64 tokens.
  encode_half: { sharedBytes: 39_424, stackBytes: 96, warpShare: 0.15 },
  // Sums of 64 by 16 outputs a warp, all terms of the right operand: 128 registers leave 2 blocks
  // of 256 threads. Shared memory: both operands of 32 columns, f32 weights as three terms.
  project_tile: { registers: 128, sharedBytes: 37 * 1024, warpShare: 0.25 },
  // As project_tile; the weights of a page beside the rows.
  attend_chunk: { registers: 128, sharedBytes: 41 * 1024, warpShare: 0.25 },
  ...Object.fromEntries([0, 1, 2].map((type) => [
    `attend_chunk<${type}, 256>`, // twice as many sums: one block of 256 threads
    { registers: 192, sharedBytes: 41 * 1024, warpShare: 0.12 },
  ])),
  rotate_heads: { dynamicSharedBytes: 1024 }, // a float2 for each pair of channels of head_dim 256
};

/** Of a kernel by its name; whatever its template's arguments, unless they have a line. */
export function limitsOf(kernel: string): KernelLimits {
  return { ...COMMON_LIMITS, ...OWN[kernel] ?? OWN[kernel.replace(/<.*/, "")] };
}
