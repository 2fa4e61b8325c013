// table.ts - the committed table of kernels, what is against it, and its page for readers.
import { z } from "zod";
import { type HotLoop, perToken } from "./hot.ts";
import { markdown } from "../markdown.ts";
import { limitsOf } from "./limits.ts";
import type { Measured } from "./measure.ts";

const count = z.number().int().nonnegative();
const Row = z.strictObject({
  source: z.string(),
  kernel: z.string(),
  target: count,
  threads: count,
  registers: count,
  spillBytes: count,
  stackBytes: count,
  sharedBytes: count,
  barriers: count,
  instructions: count,
  globalLoads: count,
  wideLoads: count,
  genericLoads: count,
  products: count,
  halfProducts: count,
  warps: count,
  warpShare: z.number(),
  limitedBy: z.string(),
});
const Hot = z.strictObject({
  kernel: z.string(),
  what: z.string(),
  instructions: count.nullable(),
  times: z.number(),
  why: z.string(),
});

/** The shape of cuda/budgets.json. */
export const Table = z.strictObject({
  nvcc: z.string(),
  kernels: z.array(Row),
  hot: z.array(Hot),
  prefill: z.array(Hot),
});
/** What is committed. */
export type Table = z.infer<typeof Table>;
/** A kernel on a target. */
export type Row = z.infer<typeof Row>;

/** How far instructions may grow over the table. */
export const GROWTH_MAX = 1.1;

/** A line of the table from what was measured. */
export function rowOf({ code, loops: _, ...rest }: Measured): Row {
  const { instructions, globalLoads, wideLoads, genericLoads, products, halfProducts } = code;
  const loads = { globalLoads, wideLoads, genericLoads };
  return { ...rest, instructions, ...loads, products, halfProducts };
}

/** What is against the stated limits, a sentence each. */
export function overLimits(rows: readonly Row[]): string[] {
  return rows.flatMap((row) => {
    const limits = limitsOf(row.kernel);
    const where = `${row.kernel} on sm_${row.target}`;
    const over = (["registers", "spillBytes", "stackBytes", "sharedBytes"] as const)
      .filter((name) => row[name] > limits[name])
      .map((name) => `${where}: ${row[name]} ${name} are above ${limits[name]}`);
    if (row.warpShare < limits.warpShare) {
      over.push(
        `${where}: ${row.warps} warps, ${percent(row.warpShare)} of the most, are below ` +
          `${percent(limits.warpShare)}; ${row.limitedBy} binds`,
      );
    }
    return over;
  });
}

/**
 * What differs from the table for the targets of `rows`: kernels that it lacks or that are gone,
 * and, if the same nvcc made both, instructions that grew by more than a tenth.
 */
export function againstTable(rows: readonly Row[], table: Table, nvcc: string): string[] {
  const id = ({ source, kernel, target }: Row) => `${kernel} of ${source} on sm_${target}`;
  const before = new Map(table.kernels.map((row) => [id(row), row]));
  const found: string[] = [];
  for (const row of rows) {
    const old = before.get(id(row));
    before.delete(id(row));
    if (old === undefined) {
      found.push(`${id(row)} is not in the table`);
    } else if (nvcc === table.nvcc && row.instructions > old.instructions * GROWTH_MAX) {
      found.push(
        `${id(row)}: ${row.instructions} instructions are above ${old.instructions} by more than ` +
          percent(GROWTH_MAX - 1),
      );
    }
  }
  const targets = new Set(rows.map(({ target }) => target));
  for (const [name, { target }] of before) {
    if (targets.has(target)) found.push(`${name} is in the table, but there is no such kernel`);
  }
  return found;
}

/** The page of docs/. */
export function tablePage({ nvcc, kernels, hot, prefill }: Table): string {
  return [
    ...["# Budgets of the CUDA kernels", ""],
    "Written by `deno task budgets --write`, checked by `deno task budgets`; the numbers are those",
    `of nvcc ${nvcc} with the product's flags, found without a GPU: registers, spills and shared`,
    "memory by ptxas, instructions by counting the machine code's 16-byte words, warps computed.",
    ...["None of them is a time.", "", ...explanations, ""],
    ...[...new Set(kernels.map(({ target }) => target))].flatMap((target) => [
      ...[`## sm_${target}`, "", ...kernelTable(kernels.filter((row) => row.target === target))],
      "",
    ]),
    ...hotSection(hot),
    ...prefillSection(prefill),
  ].join("\n");
}

const explanations = [
  "- *registers*: of a thread; *shared*: bytes of a block, static and dynamic; after a slash the",
  "  stated limit of `tools/budgets/limits.ts`, the same on every target.",
  "- *spills*: bytes written to local memory and read again for want of registers, a thread;",
  "  *stack*: all local memory of a thread.",
  "- *instructions*: of a warp, all of the kernel's code; may grow by 10 % over this table.",
  "- *loads*: global ones / of them 128 bits wide / by an address of any memory; *products*: of",
  "  8-bit integers / of 16-bit numbers by the tensor cores.",
  "- *warps*: that fit on a multiprocessor, their share of the most, the least that is stated, and",
  "  what keeps more from fitting.",
  "- `project_row<n>`, `project_tile<n>`, `attend_chunk<n, m>`: n is the number of the weights' or",
  "  rows' `Type` in `native/kernels.h`, m the largest head_dim.",
];

function kernelTable(rows: readonly Row[]): string[] {
  const head = ["kernel", "threads", "registers", "spills", "stack", "shared", "instructions"];
  head.push("loads", "products", "warps");
  return markdown(
    head,
    rows.map((row) => {
      const limits = limitsOf(row.kernel);
      const { warps, warpShare, limitedBy } = row;
      return [
        `${row.kernel} (${row.source.replace(/^cuda\//, "")})`,
        `${row.threads}`,
        `${row.registers} / ${limits.registers}`,
        `${row.spillBytes}`,
        `${row.stackBytes}`,
        `${row.sharedBytes} / ${limits.sharedBytes}`,
        `${row.instructions}`,
        `${row.globalLoads} / ${row.wideLoads} / ${row.genericLoads}`,
        `${row.products} / ${row.halfProducts}`,
        `${warps}, ${percent(warpShare)} / ${percent(limits.warpShare)}, ${limitedBy}`,
      ];
    }),
  );
}

function hotSection(hot: readonly HotLoop[]): string[] {
  if (hot.length === 0) return [];
  const names = [...new Set(hot.map(({ kernel }) => kernel))];
  return [
    ...["## Instructions per token", ""],
    "Of a warp, on sm_90, for one token of a KV head (`attend_exact`: one exact row) at head_dim",
    "128, 4 query heads a KV head, one input and 32 value planes: the inner loops' instructions",
    "times how often they run. What is around the loops is not counted, and all branches within",
    "them are. Bytes per token: [ROOFLINE.md](ROOFLINE.md).",
    "",
    ...loopTable(hot, "per token", 1),
    "",
    names.map((name) => `${name}: ${perToken(hot, name)?.toFixed(1) ?? "not known"}`).join("; ") +
    ".",
    "",
  ];
}

function prefillSection(prefill: readonly HotLoop[]): string[] {
  if (prefill.length === 0) return [];
  const names = [...new Set(prefill.map(({ kernel }) => kernel))];
  return [
    ...["## Instructions per multiply-add of a prefill", ""],
    "Of a warp, on sm_90, for one multiply-add of each lane. A loop within a loop is a line",
    "of its own, or the way of numbers that are not aligned. Products by tensor cores are among",
    "them, an instruction each.",
    "",
    ...loopTable(prefill, "per multiply-add", 3),
    "",
    names.map((name) => `${name}: ${perToken(prefill, name)?.toFixed(3) ?? "not known"}`)
      .join("; ") + ".",
    "",
  ];
}

function loopTable(loops: readonly HotLoop[], unit: string, digits: number): string[] {
  return markdown(
    ["kernel", "loop", "instructions", "times", unit],
    loops.map((loop) => [
      loop.kernel,
      loop.what,
      loop.instructions === null ? "not found" : `${loop.instructions}`,
      `${loop.times} (${loop.why})`,
      loop.instructions === null ? "" : (loop.instructions * loop.times).toFixed(digits),
    ]),
  );
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
