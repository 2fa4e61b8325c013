// machines.ts - published figures of the machines that the model knows, each with its source.

/** A graphics processor and the way to its host's memory. */
export interface Machine {
  readonly name: string;
  /** Bytes a second at peak. */
  readonly memoryRate: number;
  readonly memoryBytes: number;
  readonly cacheBytes: number; // L2
  readonly multiprocessors: number;
  readonly hertz: number; // the highest clock
  /** Bytes a second at which kernels read rows of pinned host memory. */
  readonly hostRate: number;
  readonly source: string;
}

const GB = 1e9;
const GIB = 2 ** 30;
const MIB = 2 ** 20;

/**
 * Rows are 512 bytes at scattered places, so a kernel reads them; what such reads reach of a link
 * of 16 lanes was measured by others: generation 4, 25 GB/s of 31.5, github.com/ZaidQureshi/bam
 * issue 54; generation 5, 35.2 GB/s of 63 on an H100 (host_to_device_memcpy_sm),
 * github.com/NVIDIA/nvbandwidth issue 24. Copies of large blocks reach about 50 GB/s there.
 */
export const hostRates = { generation4: 25 * GB, generation5: 35.2 * GB };

/** The machines, smallest memory rate first. */
export const machines: readonly Machine[] = [
  {
    ...{ name: "RTX A6000", memoryRate: 768 * GB, memoryBytes: 48 * GIB, cacheBytes: 6 * MIB },
    ...{ multiprocessors: 84, hertz: 1.8e9, hostRate: hostRates.generation4 },
    source: "NVIDIA RTX A6000 datasheet; NVIDIA Ampere GA102 whitepaper",
  },
  {
    ...{ name: "RTX 4090", memoryRate: 1008 * GB, memoryBytes: 24 * GIB, cacheBytes: 72 * MIB },
    ...{ multiprocessors: 128, hertz: 2.52e9, hostRate: hostRates.generation4 },
    source: "NVIDIA Ada GPU Architecture whitepaper",
  },
  {
    ...{ name: "H100 SXM", memoryRate: 3350 * GB, memoryBytes: 80 * GIB, cacheBytes: 50 * MIB },
    ...{ multiprocessors: 132, hertz: 1.98e9, hostRate: hostRates.generation5 },
    source:
      "NVIDIA H100 datasheet; NVIDIA H100 Architecture whitepaper; clock: nvidia-smi's highest",
  },
  {
    ...{ name: "H200", memoryRate: 4800 * GB, memoryBytes: 141 * GIB, cacheBytes: 50 * MIB },
    ...{ multiprocessors: 132, hertz: 1.98e9, hostRate: hostRates.generation5 },
    source: "NVIDIA H200 datasheet; multiprocessors, L2 and clock as the H100's",
  },
  {
    ...{ name: "B200", memoryRate: 8000 * GB, memoryBytes: 180 * GIB, cacheBytes: 126 * MIB },
    ...{ multiprocessors: 148, hertz: 1.965e9, hostRate: hostRates.generation5 },
    source: "NVIDIA DGX B200 datasheet (an eighth of 1,440 GB and 64 TB/s); multiprocessors, L2 " +
      "and clock as deviceQuery tells them; generation 5 as its host's",
  },
];

/** Share of the peak rate that a kernel which reads in order reaches. */
export const RATE_SHARE = 0.85;

/** Share of the memory that is left for weights and cache beside the driver and the runtime. */
export const MEMORY_SHARE = 0.97;

/** Warp instructions that a multiprocessor can start in a clock. */
export const ISSUE_WIDTH = 4;
