// page.ts - docs/ROOFLINE.md: what is assumed, the machines with their sources, the tables.
import { SpecacheError } from "../../engine/errors.ts";
import { chooseKernels, type HotLoop, perToken } from "../../tools/budgets/hot.ts";
import { markdown } from "../../tools/markdown.ts";
import { hostRates, ISSUE_WIDTH, machines, MEMORY_SHARE, RATE_SHARE } from "./machines.ts";
import { type Instructions, LATE_LATENCY, measuredFetch } from "./model.ts";
import type { ModelTable } from "./tables.ts";

/**
 * The kernels' instructions per token from cuda/budgets.json.
 *
 * @throws {SpecacheError} data: a loop was not found when the table was written
 */
export function instructionsOf(hot: readonly HotLoop[]): Instructions {
  const of = (kernel: string) => {
    const count = perToken(hot, kernel);
    if (count !== null) return count;
    throw new SpecacheError(
      "data",
      `Cannot model instructions: cuda/budgets.json has no loops of ${kernel}; ` +
        "say how to find them in tools/budgets/hot.ts",
    );
  };
  return {
    scan: of("scan_pages"),
    choose: chooseKernels.reduce((sum, kernel) => sum + of(kernel), 0),
    ...{ attendCodes: of("attend_codes"), attendExact: of("attend_exact") },
  };
}

/** The page. */
export function page(tables: readonly ModelTable[]): string {
  return [
    ...["# Roofline: the modelled decode step", ""],
    "Written by `deno task roofline --write`. **Everything on this page is modelled**: counted",
    "bytes over published rates, counted instructions over the rate at which they can start. No",
    ...["GPU has run any of it.", "", "![Modelled step time](roofline.svg)", ""],
    "In the plot a line is dotted where the machine's memory does not hold it.",
    ...["", ...assumptions(), ""],
    ...["## Machines, published figures", "", ...machineTable(), ""],
    ...tables.flatMap(({ title, notes, head, rows }) => [
      ...[`## ${title}`, "", ...notes, ...(notes.length > 0 ? [""] : [])],
      ...[...markdown(head, rows), ""],
    ]),
  ].join("\n");
}

function assumptions(): string[] {
  const [four, five] = [hostRates.generation4, hostRates.generation5].map((rate) => rate / 1e9);
  const { late, prefetched } = measuredFetch;
  return [
    "What is assumed:",
    "- Llama-3.1-8B: 32 layers, 8 KV heads of 128, 32 query heads; 8.03 G parameters, all but the",
    "  table of embeddings (.53 G) read once a step for all sequences; Q4 is 4.5 bits a weight.",
    "- Ours: `default` with a profile, k 256, one guess beside the true token (2 inputs) whose",
    "  chosen rows are other ones. Dense: each 16-bit row read once a step, perfect overlap. Other",
    "  work (norms, logits of the vocabulary, launches) is in neither.",
    `- Memory gives ${RATE_SHARE} of its peak rate, ${MEMORY_SHARE} of it is usable; a`,
    `  multiprocessor starts ${ISSUE_WIDTH} instructions a clock at its highest clock.`,
    "- Logits and values of a run of KV heads move through memory where they are above half of",
    "  L2 (steps in the plot's dark line), else they stay there until the next run writes them.",
    `- Rows come from the host by kernels' reads: ${four} GB/s on PCIe 4 (measured:`,
    `  github.com/ZaidQureshi/bam issue 54), ${five} GB/s on PCIe 5 (an H100's`,
    "  `host_to_device_memcpy_sm`: github.com/NVIDIA/nvbandwidth issue 24; copies of large blocks",
    `  reach about 50). A layer with late rows waits ${LATE_LATENCY * 1e6} us more (assumed).`,
    `- Fetched for each layer and KV head: ${late} late rows, the mean of four texts of 2,000`,
    '  tokens on SmolLM2 at temperature .7, k = S = 256 (docs/NOTES.md, "Which rows a guess',
    `  sees"), and ${prefetched} prefetched, the most that may be in flight. Both may be otherwise`,
    "  on longer texts and larger models; 15 late rows are what a right guess left",
    "  (docs/DESIGN.md, section 4).",
    "- *as written*: the larger of bytes and instructions; instructions are those of inner loops",
    "  of the code for sm_90, also on other machines, all waits hidden: a bound from below.",
    "- *: does not fit in the machine's memory; the time is as if it did.",
  ];
}

function machineTable(): string[] {
  return markdown(
    ["machine", "memory", "GB/s", "L2", "SMs", "clock", "host reads", "source"],
    machines.map((machine) => [
      machine.name,
      `${machine.memoryBytes / 2 ** 30} GiB`,
      `${machine.memoryRate / 1e9}`,
      `${machine.cacheBytes / 2 ** 20} MiB`,
      `${machine.multiprocessors}`,
      `${machine.hertz / 1e9} GHz`,
      `${machine.hostRate / 1e9} GB/s`,
      machine.source,
    ]),
  );
}
