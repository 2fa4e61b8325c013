// bytes.ts - the bytes that one decode step of one sequence touches, counted from the layout of
// native/codes.h and from cuda/*.cu as they are written.

/** A model's shape and the bytes of its weights. */
export interface ModelShape {
  readonly layers: number;
  readonly kvHeads: number;
  readonly queryHeads: number;
  readonly headDim: number;
}

/** Llama-3.1-8B. */
export const llama8b: ModelShape = { layers: 32, kvHeads: 8, queryHeads: 32, headDim: 128 };

/** How keys and values are coded: a rule and its bits. */
export interface Codes {
  readonly name: string;
  readonly rule: "rotated" | "paper";
  /** Share of the heads with 2-bit keys; the others have 1 bit. */
  readonly twoBitKeys: number;
  /** Of a token; with a profile a quarter of head_dim. */
  readonly valuePlanes: number;
  /** 0 with a profile: then no scale for each token. */
  readonly valueBits: number;
  /** Of the paper's parameters. */
  readonly group: number;
  /** Rows that are exact for an input. */
  readonly k: number;
}

const rotated = { rule: "rotated", group: 0, k: 256 } as const;

/** The settings of the table. */
export const settings = {
  default: { ...rotated, name: "default", twoBitKeys: 1, valuePlanes: 32, valueBits: 0 },
  compact: { ...rotated, name: "compact", twoBitKeys: 0.1, valuePlanes: 32, valueBits: 0 },
  noProfile: { ...rotated, name: "no profile", twoBitKeys: 1, valuePlanes: 128, valueBits: 1 },
  paper: {
    ...{ name: "paper", rule: "paper", twoBitKeys: 0, valuePlanes: 128, valueBits: 1 },
    ...{ group: 64, k: 64 },
  },
} as const satisfies Record<string, Codes>;

/** Tokens of a page, first tokens that stay exact, rows of the window's ring (kernels.h). */
export const PAGE = 64;
export const SINKS = 4;
export const WINDOW_ROWS = 131; // 128 and three guesses
/** Pages of one chunk of attend.cu (scratch.h), and of a block of scan.cu. */
export const BLOCK_PAGES = 32;
const QUERIES = 8; // columns of one product of scan.cu and attend.cu
const LOGIT = 4; // bytes
// Of choose.cu: softmax and values; of the values two rounds, a count, and what writes the chosen.
const LOGIT_PASSES = 2;
const VALUE_PASSES = 4;
/** Tokens of a block of choose.cu, exact rows of one of attend.cu (scratch.h). */
export const CHOOSE_PIECE = 2048;
export const EXACT_PART = 64;
const RUN_SHARE = 2 / 5; // of L2, a run's logits and values at most (logits_fifths, plan.h)

/** Bytes of one page of one KV head, in parts; a mean where heads differ. */
export interface PageBytes {
  readonly keys: number;
  readonly values: number;
  readonly keyCentre: number;
  readonly valueCentre: number;
  readonly keyScales: number;
  readonly valueScales: number;
  readonly keyParameters: number;
  readonly valueParameters: number;
  readonly all: number;
}

/** As code_layout() of native/codes.h lays a page out. */
export function pageBytes(codes: Codes, headDim: number): PageBytes {
  const rotated = codes.rule === "rotated";
  const groups = rotated ? 0 : Math.ceil(headDim / codes.group);
  const parts = {
    keys: headDim * (1 + codes.twoBitKeys) * PAGE / 8,
    values: Math.ceil(codes.valuePlanes / 8) * PAGE,
    keyCentre: rotated ? headDim : 0,
    valueCentre: rotated ? headDim : 0,
    keyScales: rotated ? PAGE : 0,
    valueScales: rotated && codes.valueBits > 0 ? PAGE : 0,
    keyParameters: rotated ? 4 : headDim * (PAGE / codes.group) * 4,
    valueParameters: rotated ? 4 : PAGE * groups * 4,
  };
  return { ...parts, all: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0) };
}

/** What an input at the end of `tokens` sees: pages as codes, and the newest tokens exactly. */
export function view(tokens: number): { pages: number; window: number } {
  const pages = Math.max(0, Math.floor(tokens / PAGE) - 1);
  return { pages, window: tokens - pages * PAGE };
}

/** A row: key and value of a token in 16 bits. */
export function rowBytes(shape: ModelShape): number {
  return shape.headDim * 2 * 2;
}

/** Bytes of the full 16-bit cache. */
export function denseBytes(shape: ModelShape, tokens: number): number {
  return tokens * shape.layers * shape.kvHeads * rowBytes(shape);
}

/** What one step of one sequence touches, all layers and KV heads. */
export interface StepBytes {
  /** Each byte of codes and each exact row once: no kernel over these codes can do with less. */
  readonly least: number;
  /** Each different byte that the kernels touch once: also logits and partial sums. */
  readonly compulsory: number;
  /** Every load and store of the kernels, a warp's instruction counted by the bytes it covers. */
  readonly issued: number;
  /** Logits, values and partial sums: what a kernel leaves to a later one. In `compulsory`. */
  readonly between: number;
  /** The share of logits and values of `issued` that is read: from L2, or else from memory. */
  readonly logitReads: number;
}

/** A run of KV heads, whose logits and values a step holds at a time. */
export interface HeadRun {
  readonly heads: number;
  /** Of logits and values: what L2 has to hold, so that memory moves none of them. */
  readonly bytes: number;
}

/** The run of a machine with that L2, as plan.cpp has it for a text that fills its room. */
export function headRun(
  shape: ModelShape,
  tokens: number,
  inputs: number,
  cacheBytes: number,
): HeadRun {
  // A logit for each query head of the group and one value, of each input and token.
  const each = tokens * inputs * (shape.queryHeads / shape.kvHeads + 1) * LOGIT;
  const most = Math.floor(cacheBytes * RUN_SHARE / each);
  const runs = Math.ceil(shape.kvHeads / Math.min(Math.max(most, 1), shape.kvHeads));
  const heads = Math.ceil(shape.kvHeads / runs);
  return { heads, bytes: heads * each };
}

/** Bytes of a step that memory moves: with logits between kernels only where L2 is too small. */
export function memoryBytes(bytes: StepBytes, run: HeadRun, cacheBytes: number): number {
  return run.bytes <= cacheBytes / 2
    ? bytes.compulsory - bytes.between
    : bytes.compulsory + bytes.logitReads;
}

/** Of the kernels for the rule `rotated` with a profile; `inputs` run side by side. */
export function stepBytes(
  shape: ModelShape,
  codes: Codes,
  tokens: number,
  inputs: number,
): StepBytes {
  const heads = shape.layers * shape.kvHeads;
  const parts = stepParts(shape, codes, tokens, inputs);
  const sum = (which: Exclude<keyof PartBytes, "kernel">) =>
    parts.reduce((total, part) => total + part[which], 0) * heads;
  return {
    ...{ least: sum("least"), compulsory: sum("compulsory"), issued: sum("issued") },
    ...{ between: sum("between"), logitReads: sum("logitReads") },
  };
}

/** One kernel's bytes in one layer and KV head. */
export interface PartBytes {
  readonly kernel: string;
  readonly least: number;
  readonly compulsory: number;
  readonly issued: number;
  readonly between: number;
  readonly logitReads: number;
}

/** The same as stepBytes(), kernel by kernel. */
export function stepParts(
  shape: ModelShape,
  codes: Codes,
  tokens: number,
  inputs: number,
): PartBytes[] {
  const { pages, window } = view(tokens);
  const page = pageBytes(codes, shape.headDim);
  const group = shape.queryHeads / shape.kvHeads;
  const tail = pages * PAGE, queries = inputs * group;
  const near = (pages > 0 ? SINKS : 0) + window;
  const chosen = Math.min(codes.k, tail) * inputs;
  const row = rowBytes(shape);
  const logits = tail * queries * LOGIT, chances = tail * inputs * LOGIT;
  const chooseReads = logits * LOGIT_PASSES + chances * VALUE_PASSES;
  const sums = Math.ceil(pages / BLOCK_PAGES) * queries * sumBytes(shape, codes);
  const keyPart = page.keys + page.keyCentre + page.keyScales + page.keyParameters;
  const keys = pages * keyPart, values = pages * (page.all - keyPart);
  const nothing = { least: 0, compulsory: 0, issued: 0, between: 0, logitReads: 0 };
  return [
    {
      ...{ ...nothing, kernel: "scan_pages", least: keys, compulsory: keys + logits },
      between: logits,
      issued: scanBytes(page, pages, queries) + logits,
    },
    {
      // The newest rows' keys again, for each query head.
      ...{ ...nothing, kernel: "choose.cu", compulsory: chances, between: chances },
      logitReads: chooseReads,
      issued: chooseReads + chances + near * queries * row / 2,
    },
    {
      ...{ ...nothing, kernel: "attend_codes", least: values, compulsory: values + sums },
      between: sums,
      logitReads: 2 * logits,
      issued: attendBytes(page, pages, queries, codes.valuePlanes) + 2 * logits + sums,
    },
    {
      ...{ ...nothing, kernel: "attend_exact", least: (near + chosen) * row },
      ...{ compulsory: (near + chosen) * row, issued: (near * inputs + chosen) * row },
    },
    { ...nothing, kernel: "merge_chunks", issued: sums },
  ];
}

// A warp a page and 8 queries: what it reads, once.
function scanBytes(page: PageBytes, pages: number, queries: number): number {
  const once = page.keys + page.keyCentre + page.keyScales + page.keyParameters;
  return pages * once * Math.ceil(queries / QUERIES);
}

// A warp a page and 8 queries of its chunk: codes and scales once in a pass over 32 planes, the
// centre once.
function attendBytes(page: PageBytes, pages: number, queries: number, planes: number): number {
  const again = (Math.ceil(planes / 32) - 1) * (page.valueScales + 2);
  const once = page.values + page.valueCentre + page.valueScales + page.valueParameters;
  return pages * (once + again) * Math.ceil(queries / QUERIES);
}

// sum_floats of scratch.h: a head of two vectors, the channels, the planes.
function sumBytes(shape: ModelShape, codes: Codes): number {
  const vector = (x: number) => Math.ceil(x / 16) * 16;
  return 4 * (32 + vector(shape.headDim) + vector(codes.valuePlanes));
}

/** Near bytes of one sequence: codes, sinks, window, slots (nearBytes of docs/DESIGN.md). */
export function nearBytes(shape: ModelShape, codes: Codes, tokens: number): number {
  const { pages } = view(tokens);
  // k slots and a quarter more in flight; the paper's mode has one set of k.
  const slots = codes.rule === "paper" ? codes.k : codes.k + codes.k / 4;
  const rows = (SINKS + WINDOW_ROWS + slots) * rowBytes(shape);
  const codesBytes = pages * pageBytes(codes, shape.headDim).all;
  return (codesBytes + rows) * shape.layers * shape.kvHeads;
}
