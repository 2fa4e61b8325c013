// occupancy.ts - how many warps of a kernel fit on a multiprocessor, from its registers, shared
// memory and block, by NVIDIA's published limits: "Technical Specifications per Compute Capability"
// of the CUDA C++ Programming Guide (columns 8.0, 9.0, 12.0), and, for what a warp's registers and
// a block's shared memory are rounded up to, cuda_occupancy.h of the toolkit.
import { SpecacheError } from "../../engine/errors.ts";

interface Limits {
  readonly warps: number; // resident on a multiprocessor
  readonly blocks: number;
  readonly sharedBytes: number; // of a multiprocessor, the reserved bytes of its blocks included
}

const LIMITS: Readonly<Record<number, Limits>> = {
  80: { warps: 64, blocks: 32, sharedBytes: 164 * 1024 },
  90: { warps: 64, blocks: 32, sharedBytes: 228 * 1024 },
  120: { warps: 48, blocks: 24, sharedBytes: 100 * 1024 },
};
const REGISTERS = 65_536; // of a multiprocessor
const PARTS = 4; // of a multiprocessor, each with a quarter of the registers
const REGISTER_UNIT = 256; // of a warp
const SHARED_UNIT = 128; // bytes of a block
const SHARED_RESERVED = 1024; // bytes of a block that the system takes
const WARP = 32; // threads

/** A kernel's needs. */
export interface Needs {
  readonly registers: number;
  /** Static and dynamic. */
  readonly sharedBytes: number;
  /** Threads of a block. */
  readonly threads: number;
}

/** What fits on one multiprocessor, and what keeps more from fitting. */
export interface Occupancy {
  readonly blocks: number;
  readonly warps: number;
  /** Warps over the most that the target holds. */
  readonly share: number;
  readonly limitedBy: "registers" | "shared memory" | "warps" | "blocks";
}

/** The targets whose limits are known. */
export const targets: readonly number[] = Object.keys(LIMITS).map(Number);

/** @throws {SpecacheError} unsupported: a target whose limits are not known */
export function occupancy(needs: Needs, target: number): Occupancy {
  const limits = LIMITS[target];
  if (limits === undefined) {
    throw new SpecacheError("unsupported", `Cannot compute occupancy: limits of sm_${target}`);
  }
  const warps = Math.ceil(needs.threads / WARP);
  const ofWarp = up(needs.registers * WARP, REGISTER_UNIT);
  const warpsByRegisters = Math.floor(REGISTERS / PARTS / ofWarp) * PARTS;
  const shared = up(needs.sharedBytes + SHARED_RESERVED, SHARED_UNIT);
  const fits = [
    ["registers", Math.floor(warpsByRegisters / warps)],
    ["shared memory", Math.floor(limits.sharedBytes / shared)],
    ["warps", Math.floor(limits.warps / warps)],
    ["blocks", limits.blocks],
  ] as const;
  const blocks = Math.min(...fits.map(([, count]) => count));
  return {
    blocks,
    warps: blocks * warps,
    share: blocks * warps / limits.warps,
    // Where several bind alike, the target's own limits come first: the kernel could not do better.
    limitedBy: fits.findLast(([, count]) => count === blocks)![0],
  };
}

function up(x: number, unit: number): number {
  return Math.ceil(x / unit) * unit;
}
