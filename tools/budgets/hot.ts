// hot.ts - instructions that a decode step's kernels issue for each token, and a prefill's for each
// multiply-add, from their inner loops in the code for sm_90. What is around the loops is not
// counted, but for kernels that have a number of tokens a thread; nor how often a branch in a loop
// is taken. So these are estimates; where a kernel changes and its loop is not found again, the
// line says so.
import type { Measured } from "./measure.ts";
import type { Loop } from "./sass.ts";

/** The target whose loops are told; another one unrolls them otherwise. */
export const HOT_TARGET = 90;

/** Instructions of a warp for one token of a KV head, one exact row, or a prefill's products. */
export interface HotLoop {
  readonly kernel: string;
  readonly what: string;
  /** Of the loop's body once, or of all code outside of loops; null where no such loop is. */
  readonly instructions: number | null;
  /** How often it runs for each token, row or product, and why. */
  readonly times: number;
  readonly why: string;
}

interface Wanted extends Omit<HotLoop, "instructions"> {
  /** Absent: the code outside of all loops. */
  readonly pick?: (loop: Loop) => boolean;
  /** Which of the loops that are alike, from 0. */
  readonly nth?: number;
}

/** The kernels of choose.cu that go through all tokens. */
export const chooseKernels: readonly string[] = [
  ...["weigh_pieces", "find_values", "narrow_cut", "count_chosen", "write_chosen"],
];

// Llama-3.1-8B's shape: head_dim 128, 4 query heads a KV head, one input; codes of the default
// setting with a profile, 32 value planes.
const wanted: readonly Wanted[] = [
  {
    kernel: "scan_pages",
    what: "products of keys and queries",
    times: 4 / 64,
    why: "32 of 128 channels at 2 bits, 64 tokens, up to 8 queries",
    pick: ({ products }) => products === 4,
  },
  {
    kernel: "scan_pages",
    what: "centre of a page",
    times: 4 / 64,
    why: "32 of 128 channels, up to 8 queries",
    pick: ({ products, genericLoads, sharedLoads }) =>
      products === 0 && genericLoads === 2 && sharedLoads === 2,
  },
  ...choosing(),
  {
    kernel: "attend_codes",
    what: "largest logit",
    times: 1 / 64,
    why: "64 tokens, up to 8 queries",
    pick: ({ wideLoads, genericLoads }) => wideLoads === 4 && genericLoads === 0,
  },
  {
    kernel: "attend_codes",
    what: "weights, and signs of values",
    times: 1 / 32,
    why: "32 tokens, 32 planes, up to 8 queries",
    pick: ({ wideLoads, globalLoads }) => wideLoads === 2 && globalLoads === 6,
  },
  {
    kernel: "attend_codes",
    what: "centres of pages",
    times: 4 / (4 * 64),
    why: "4 pages, by each of 4 warps, up to 8 queries",
    pick: ({ globalLoads, genericLoads, sharedLoads }) =>
      globalLoads === 4 && genericLoads === 4 && sharedLoads === 8,
  },
  {
    kernel: "attend_exact",
    what: "logits of a row",
    times: 4,
    why: "32 of 128 channels, 8 query slots at a time",
    pick: ({ genericLoads, sharedLoads, shuffles }) =>
      genericLoads > 0 && sharedLoads === 8 && shuffles === 0,
  },
  {
    kernel: "attend_exact",
    what: "values of a row",
    times: 4,
    why: "by each of 4 warps, a channel a thread, 8 query slots at a time",
    pick: ({ genericLoads, sharedLoads, shuffles }) =>
      genericLoads > 0 && sharedLoads === 9 && shuffles === 0,
  },
];

/** The loops of the hot kernels; empty where HOT_TARGET was not measured. */
export function hotLoops(measured: readonly Measured[]): HotLoop[] {
  return wanted.flatMap(({ pick, nth, ...line }) => {
    const of = measured.find((each) => each.kernel === line.kernel && each.target === HOT_TARGET);
    if (of === undefined) return [];
    const loop = pick && innermost(of.loops).filter(pick)[nth ?? 0];
    const instructions = pick ? loop?.instructions ?? null : outside(of);
    return [{ ...line, instructions }];
  });
}

// A thread of choose.cu has 16 tokens in code without a loop, so that a warp has 512.
function choosing(): Wanted[] {
  const [weigh, find, narrow, count, write] = chooseKernels;
  const each = 1 / 512;
  return [
    {
      ...{ kernel: weigh, what: "largest logit, sum of weights", times: 4 * each },
      why: "512 tokens, for each of 4 query heads; also the way of near rows, which few take",
    },
    {
      ...{ kernel: find, what: "values of a query head", times: 4 * each },
      why: "512 tokens, for each of 4 query heads",
      pick: ({ globalLoads }) => globalLoads >= 16,
    },
    { kernel: find, what: "values and their digits", times: each, why: "512 tokens" },
    { kernel: narrow, what: "digits of values", times: 2 * each, why: "512 tokens, in 2 rounds" },
    { kernel: count, what: "values above the k-th", times: each, why: "512 tokens" },
    {
      ...{ kernel: write, what: "chosen tokens", times: each },
      why: "512 tokens, as if every warp had a chosen one",
    },
  ];
}

// A prefill's: loops within a loop are not counted with it.
const wantedOfPrefill: readonly (Wanted & { readonly pick: (loop: Loop) => boolean })[] = [
  ...["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q4_k", "q5_k", "q6_k"].map((type, number) => ({
    kernel: `project_tile<${number}>`,
    what: `32 columns of ${type}`,
    times: 1 / 1024,
    why: "128 rows by 64 inputs by 32 columns, 256 threads",
    pick: ({ depth, halfProducts }: Loop) => depth === 0 && halfProducts > 0,
  })),
  ...[
    ["32 channels of keys", 4, 24, 1],
    ["32 tokens' values", 2, 48, 1],
    ["a page without those", 1, 72, 0],
  ].map(([what, times, products, at]) => ({
    kernel: "attend_chunk<2, 128>",
    what: `${what}`,
    times: Number(times) / 4096,
    why: `${times} a page: 64 pairs by 64 tokens by 2 * 128 channels, 256 threads`,
    pick: ({ depth, halfProducts }: Loop) => depth === at && halfProducts === products,
  })),
];

/** The loops of a prefill's kernels: instructions of a warp for one multiply-add of each lane. */
export function prefillLoops(measured: readonly Measured[]): HotLoop[] {
  return wantedOfPrefill.flatMap(({ pick, ...line }): HotLoop[] => {
    const of = measured.find((each) => each.kernel === line.kernel && each.target === HOT_TARGET);
    if (of === undefined) return [];
    const loop = of.loops.find(pick);
    if (loop === undefined) return [{ ...line, instructions: null }];
    const within = of.loops.filter(({ first, last, depth }) =>
      first >= loop.first && last <= loop.last && depth === loop.depth + 1
    );
    const rest = within.reduce((sum, { instructions }) => sum - instructions, loop.instructions);
    return [{ ...line, instructions: rest }];
  });
}

function innermost(loops: readonly Loop[]): Loop[] {
  return loops.filter((loop) =>
    !loops.some((other) => other !== loop && other.first >= loop.first && other.last <= loop.last)
  );
}

// Loops may lie in each other.
function outside({ code, loops }: Measured): number {
  const outermost = loops.filter(({ depth }) => depth === 0);
  return outermost.reduce((rest, { instructions }) => rest - instructions, code.instructions);
}

/** The sum of a kernel's loops for one token or row, or null where one is not found. */
export function perToken(loops: readonly HotLoop[], kernel: string): number | null {
  const own = loops.filter((loop) => loop.kernel === kernel);
  if (own.length === 0 || own.some(({ instructions }) => instructions === null)) return null;
  return own.reduce((sum, { instructions, times }) => sum + instructions! * times, 0);
}
