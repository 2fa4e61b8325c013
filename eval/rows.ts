// rows.ts - what an evaluation comes to: one row for each task, length and mode.
// Divergences are KL(full || mode) of the next-token distribution, in nats.

/** A value and the ends of its 95 % interval. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** What one mode lost on one task at one length. */
export interface EvalRow {
  readonly task: string;
  /** Tokens of a document's prompt. */
  readonly tokens: number;
  readonly mode: string;
  /** Documents. */
  readonly n: number;
  /** Share of documents whose answer came back; null for tasks without an answer. */
  readonly recall: number | null;
  /** Share of documents that full recalls and the mode does not, less those the other way. */
  readonly recallLost: number | null;
  readonly klMean: number;
  /** 99th percentile and largest over all steps. */
  readonly klP99: number;
  readonly klMax: number;
  /** Share of steps whose most probable token is that of `full`. */
  readonly top1: number;
  /** exp of the mean negative log-probability of the tokens fed, which `full` had chosen. */
  readonly perplexity: number;
  /** Share of guesses that were right, all and by source; null where none was made. */
  readonly guessRight: number | null;
  readonly guessRightBySource: { readonly chain: number | null; readonly lookup: number | null };
  /** Exact attention mass of the exact set over that of the best k, in the tail; null: no codes. */
  readonly mass: number | null;
  /** Exact attention mass that went to other tokens. */
  readonly lostMass: number | null;
  /** nearBytes over fullBytes at the end of a document, and the bytes; means of documents. */
  readonly ratio: number;
  readonly nearBytes: number;
  /** Tokens taken per step: above 1 where guesses were accepted. */
  readonly tokensPerStep: number;
  /** Rows per step, layer and KV head. */
  readonly prefetchedRows: number;
  readonly lateRows: number;
  /** 95 % intervals: of shares by Wilson, of means by the bootstrap over documents. */
  readonly intervals: {
    readonly recall: Interval | null;
    readonly recallLost: Interval | null;
    readonly klMean: Interval;
    readonly top1: Interval;
    readonly perplexity: Interval;
  };
}

/** What a heat map needs of one document with a fact at a place. */
export interface EvalPlace {
  readonly task: string;
  readonly mode: string;
  readonly tokens: number;
  /** Place of the asked fact: 0 the beginning of the text, 1 its end. */
  readonly depth: number;
  readonly recalled: boolean;
  readonly klMean: number;
}

/** Losses of attention in one layer and KV head, over all documents. */
export interface EvalHead {
  readonly mode: string;
  readonly layer: number;
  readonly head: number;
  readonly mass: number | null;
  readonly lostMass: number;
  /** Mean of norm(output - exact) / norm(exact). */
  readonly outputError: number;
}

/** A whole evaluation. */
export interface EvalReport {
  readonly model: string;
  readonly seed: number;
  readonly rows: readonly EvalRow[];
  readonly places: readonly EvalPlace[];
  readonly heads: readonly EvalHead[];
}
