// model.ts - the modelled time of a decode step: bytes over rates, instructions over the rate at
// which they start. Nothing here is measured on a GPU. A step's parts take turns but for the
// prefetch, which runs beside all of them.
import {
  BLOCK_PAGES,
  CHOOSE_PIECE,
  type Codes,
  denseBytes,
  EXACT_PART,
  headRun,
  llama8b,
  memoryBytes,
  type ModelShape,
  nearBytes,
  rowBytes,
  stepBytes,
  view,
} from "./bytes.ts";
import { ISSUE_WIDTH, type Machine, MEMORY_SHARE, RATE_SHARE } from "./machines.ts";

/** Bytes of a model's weights. */
export interface Weights {
  readonly name: string;
  readonly storedBytes: number;
  /** All but the table of embeddings, of which a step reads a row. */
  readonly readBytes: number;
}

// Llama-3.1-8B: 8,030,261,248 parameters, of them 128,256 x 4,096 of the table.
const PARAMETERS = 8_030_261_248;
const TABLE = 128_256 * 4096;
const weightsOf = (name: string, bits: number): Weights => ({
  name,
  storedBytes: PARAMETERS * bits / 8,
  readBytes: (PARAMETERS - TABLE) * bits / 8,
});

/** 16 bits, and GGUF's Q4_0: 18 bytes for 32 weights. */
export const weights16 = weightsOf("16-bit", 16);
export const weightsQ4 = weightsOf("Q4", 18 * 8 / 32);

/** Rows that a step fetches for each layer and KV head. */
export interface Fetch {
  readonly late: number;
  readonly prefetched: number;
}

/**
 * Measured on other models and shorter texts: late rows of a step and head, k = S = 256, SmolLM2 at
 * temperature .7, the mean of four texts of 2,000 tokens (43, 67, 54, 55: docs/NOTES.md, "Which
 * rows a guess sees"). How many were prefetched is not among the figures: 64, the most that may be
 * in flight, is above it.
 */
export const measuredFetch: Fetch = { late: 54.75, prefetched: 64 };

/** The same where the guess was right (docs/DESIGN.md, section 4: from 54 to 15). */
export const rightFetch: Fetch = { late: 15, prefetched: 64 };

/** The paper's mode: no late rows, 40 of 64 rows are new (docs/METHOD.md, "Slots as a cache"). */
export const paperFetch: Fetch = { late: 0, prefetched: 40 };

/** Seconds from a kernel's read of host memory to its answer, once a layer: an assumption. */
export const LATE_LATENCY = 2e-6;

/** Warp instructions for a token of a KV head, or a row, from cuda/budgets.json; sm_90's. */
export interface Instructions {
  readonly scan: number; // for up to 8 queries
  readonly choose: number; // for each input
  readonly attendCodes: number; // for up to 8 queries
  readonly attendExact: number; // a row, for each input and up to 8 query heads
}

// Kernels of a layer and run of KV heads: scan, 7 of choose, resolve, 4 of attend, settle.
const KERNELS = 14;
/** Seconds from one kernel of a graph to the next: an assumption. */
export const LAUNCH = 1e-6;

/** What to model. */
export interface Question {
  readonly machine: Machine;
  readonly weights: Weights;
  readonly codes: Codes;
  readonly tokens: number;
  readonly batch: number;
  /** The true token and the guesses. */
  readonly inputs: number;
  readonly fetch: Fetch;
  readonly instructions: Instructions;
  readonly shape?: ModelShape;
}

/** Seconds and bytes of one modelled step. */
export interface Step {
  readonly denseAttention: number;
  readonly denseStep: number;
  /** Whether weights and cache fit in the machine's memory. */
  readonly denseFits: boolean;
  readonly fits: boolean;
  /** By bytes that memory moves: with logits where L2 is too small for those of a run of heads. */
  readonly attention: number;
  /** By instructions as the kernels are written. */
  readonly issue: number;
  /** From kernel to kernel of the attention, in no other time. */
  readonly launches: number;
  /** The wait for late rows. */
  readonly late: number;
  readonly prefetch: number;
  /** Share of all fetching that runs beside the step's other work. */
  readonly hiddenShare: number;
  /** Of a whole step by bytes, and the same where instructions take longer than bytes. */
  readonly step: number;
  readonly stepAsWritten: number;
  /** Of a whole step with kernels that touch the least bytes, which ours do not. */
  readonly stepAtLeast: number;
}

/** The model. */
export function modelStep(question: Question): Step {
  const { machine, weights, codes, tokens, batch, inputs } = question;
  const shape = question.shape ?? llama8b;
  const rate = machine.memoryRate * RATE_SHARE;
  const dense = denseBytes(shape, tokens) * batch / rate;
  const bytes = stepBytes(shape, codes, tokens, inputs);
  // Half of L2 for logits: codes and rows pass through it too.
  const run = headRun(shape, tokens, inputs, machine.cacheBytes);
  const attention = memoryBytes(bytes, run, machine.cacheBytes) * batch / rate;
  const parts = Object.values(issueSeconds(question));
  const issue = parts.reduce((sum, seconds) => sum + seconds, 0) * batch;
  const { late, prefetch } = fetchSeconds(question, shape);
  const reading = weights.readBytes / rate;
  const room = machine.memoryBytes * MEMORY_SHARE - weights.storedBytes;
  const own = withFetch(reading + attention, late, prefetch);
  return {
    denseAttention: dense,
    denseStep: reading + dense,
    denseFits: denseBytes(shape, tokens) * batch <= room,
    fits: nearBytes(shape, codes, tokens) * batch + run.bytes <= room,
    ...{ attention, issue, late, prefetch },
    launches: Math.ceil(shape.kvHeads / run.heads) * KERNELS * shape.layers * batch * LAUNCH,
    hiddenShare: own.hiddenShare,
    step: own.seconds,
    stepAsWritten: withFetch(reading + Math.max(attention, issue), late, prefetch).seconds,
    stepAtLeast: withFetch(reading + bytes.least * batch / rate, late, prefetch).seconds,
  };
}

/** The prefetch has the whole step but for late rows, which use the same link. */
function withFetch(work: number, late: number, prefetch: number) {
  const hidden = Math.min(prefetch, work);
  const all = late + prefetch;
  return {
    seconds: work + late + prefetch - hidden,
    hiddenShare: all === 0 ? 1 : hidden / all,
  };
}

function fetchSeconds(question: Question, shape: ModelShape): { late: number; prefetch: number } {
  const { machine, fetch, batch, tokens, codes } = question;
  const tail = view(tokens).pages * 64;
  const heads = shape.layers * shape.kvHeads;
  // Fewer tokens than are chosen: all of them are in slots after the first steps.
  const share = tail > codes.k ? 1 : 0;
  const seconds = (rows: number) =>
    share * rows * rowBytes(shape) * heads * batch / machine.hostRate;
  const waits = fetch.late > 0 ? share * LATE_LATENCY * shape.layers : 0;
  return { late: seconds(fetch.late) + waits, prefetch: seconds(fetch.prefetched) };
}

/** Seconds of each kernel's instructions. */
export type IssueSeconds = Readonly<Record<keyof Instructions, number>>;

/**
 * Each kernel's instructions at the highest rate at which they can start. attend_exact has a block
 * for each input, KV head of a run and 64 rows, choose.cu's kernels one for each piece of the tail:
 * as many multiprocessors are at work.
 */
export function issueSeconds(question: Question): IssueSeconds {
  const shape = question.shape ?? llama8b;
  const { machine, codes, tokens, inputs, instructions } = question;
  const { pages, window } = view(tokens);
  const tail = pages * 64, group = shape.queryHeads / shape.kvHeads;
  const each = ISSUE_WIDTH * machine.hertz;
  const on = (blocks: number) => each * Math.min(machine.multiprocessors, blocks);
  const run = headRun(shape, tokens, inputs, machine.cacheBytes).heads;
  const pairs = inputs * run;
  const rows = window + Math.min(codes.k, tail);
  const heads = shape.kvHeads * shape.layers;
  const eights = Math.ceil(inputs * group / 8);
  // Of scan and attend_codes: 32 pages of a head for 8 queries.
  const blocks = on(Math.max(1, Math.ceil(pages / BLOCK_PAGES) * run * eights));
  return {
    scan: tail * instructions.scan * eights * heads / blocks,
    choose: tail * instructions.choose * inputs * heads /
      on(pairs * Math.ceil(tail / CHOOSE_PIECE)),
    attendCodes: tail * instructions.attendCodes * eights * heads / blocks,
    attendExact: rows * instructions.attendExact * inputs * heads /
      on(pairs * Math.ceil(rows / EXACT_PART)),
  };
}

/** The shortest length, in whole pages, from which a step is faster than a dense one; or null. */
export function overtakes(
  question: Omit<Question, "tokens">,
  which: "step" | "stepAsWritten" | "stepAtLeast",
  most = 2 ** 20,
): number | null {
  const faster = (tokens: number) => {
    const step = modelStep({ ...question, tokens });
    return step[which] < step.denseStep;
  };
  // From above: where L2 becomes too small for the logits a step is suddenly longer.
  let tokens = most;
  while (tokens >= 64 && faster(tokens)) tokens -= 64;
  return tokens === most ? null : tokens + 64;
}

/** Tokens of the longest texts, in whole pages, of which `batch` fit beside the weights. */
export function longest(
  { machine, weights, codes, batch, inputs, shape = llama8b }: Omit<Question, "tokens">,
): { dense: number; own: number } {
  const room = machine.memoryBytes * MEMORY_SHARE - weights.storedBytes;
  const most = (bytes: (tokens: number) => number) => {
    let low = 0, high = 2 ** 26 / 64;
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (bytes(middle * 64) <= room) low = middle;
      else high = middle;
    }
    return low * 64;
  };
  return {
    dense: most((tokens) => denseBytes(shape, tokens) * batch),
    own: most((tokens) =>
      nearBytes(shape, codes, tokens) * batch +
      headRun(shape, tokens, inputs, machine.cacheBytes).bytes
    ),
  };
}

/** What one late row more in every layer and KV head adds to a step of one sequence. */
export function lateRowSeconds(machine: Machine, shape: ModelShape = llama8b): number {
  return rowBytes(shape) * shape.layers * shape.kvHeads / machine.hostRate;
}
