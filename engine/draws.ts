// draws.ts - what a step's rows give: its true tokens, and guesses for the next one. The library
// draws them where it can; else logits are turned into tokens here.
import type { Asking, Drawn, Run, StepAsk, StepsAsk } from "./decode.ts";
import { samplingOf, UNDECIDED } from "./native.ts";
import { filters, type Likeliest, mostProbable, needsLogits, sample } from "./sampler.ts";
import { type Logprobs, logprobsOf } from "./sampling/logprobs.ts";
import type { TokenCounts } from "./sampling/penalties.ts";
import { dropStep, regain } from "./regain.ts";
import type { Request } from "./settings.ts";

/** A request at work, with what its steps have in common. */
export interface Stepping extends Run {
  /** What the request asks of each step, as the library takes it. */
  readonly options: Uint32Array;
  /** The tokens that end a text. */
  readonly ends: Uint32Array;
  /** The text's tokens, where penalties count them. */
  readonly counts: TokenCounts | null;
  /** (1 + guesses, vocabulary) of a step; null: the likeliest tokens say all that is asked. */
  readonly logits: Float32Array | null;
  /** How the library draws, which gives logits of undecided tokens alone; null: it does not. */
  readonly sampling: Uint32Array | null;
  /** Its rows (vocabulary): a view takes as long to make as a call into the library. */
  readonly rows: readonly Float32Array[] | null;
}

/** What a request needs of each step beside tokens. */
export function rowsOf(
  { store, request, draw }: Run,
): Pick<Stepping, "logits" | "sampling" | "rows"> {
  const free = draw === undefined && !needsLogits(request);
  if (free && request.temperature === 0) return { logits: null, sampling: null, rows: null };
  const { vocabulary } = store;
  const inputs = 1 + Math.max(request.guesses, request.lookups);
  const logits = new Float32Array(inputs * vocabulary);
  const rows = Array.from(
    { length: inputs },
    (_, row) => logits.subarray(row * vocabulary, (row + 1) * vocabulary),
  );
  return { logits, sampling: free ? samplingOf(request) : null, rows };
}

/**
 * What the inputs of a step predict that its sequence was set back for: as it was, it steps again.
 * null: cancelled.
 */
export function* stepAgain(run: Stepping, ask: StepAsk | StepsAsk): Asking<Likeliest[] | null> {
  let likeliest: Likeliest[] | null = null;
  while (!run.state.whole) {
    if (!(yield* regain(run))) return null;
    likeliest = (yield ask) as Likeliest[] | null;
  }
  return likeliest;
}

/** What a step comes to. */
export interface Draws {
  /** The true tokens. */
  readonly drawn: Drawn[];
  /** What the inputs behind them predict. */
  readonly predicted: number[];
}

/**
 * What the rows of the step at work give; null: cancelled. An error drops the step. What input i
 * predicts stands behind the guesses before it; those of true rows are true.
 */
// A draw from a large vocabulary takes as long as a layer, so each looks for a cancel.
export function drawsOf(
  run: Stepping,
  likeliest: readonly Likeliest[],
  guesses: readonly number[],
  trusted: number,
): Draws | null {
  const { request, rows } = run;
  const drawn: Drawn[] = [];
  const predicted: number[] = [];
  try {
    for (let row = 0, right = true; right; row++) {
      if (run.cancelled()) return null;
      const id = predictedOf(run, likeliest, row, guesses, 0);
      drawn.push({ kind: "token", id, logprobs: rows && toldOf(rows[row], id, request) });
      right = row < trusted && id === guesses[row] && !run.eos.includes(id);
    }
    // What inputs behind the last true one predict is the chain's; a lookup leaves it nothing.
    for (let row = drawn.length; row < likeliest.length; row++) {
      if (run.cancelled()) return null;
      predicted.push(predictedOf(run, likeliest, row, guesses, row));
    }
  } catch (error) {
    dropStep(run);
    throw error;
  }
  return { drawn, predicted };
}

/** What is told of a token beside its id. */
export function toldOf(logits: Float32Array, id: number, { logprobs }: Request): Logprobs | null {
  return logprobs === 0 ? null : logprobsOf(logits, id, logprobs);
}

/** The token that a step's row predicts, behind the guesses before it. */
export function predictedOf(
  run: Stepping,
  likeliest: readonly Likeliest[],
  row: number,
  guesses: readonly number[],
  input: number,
): number {
  const told = likeliest[row];
  if (run.rows === null || run.sampling !== null && told.id !== UNDECIDED) {
    return mostProbable(told);
  }
  const position = run.state.length + 1 + row;
  const place = { position, ahead: guesses.slice(0, row), input };
  return draw(run, run.rows[row], run.sampling === null ? told : null, place);
}

interface Place {
  readonly position: number;
  /** Tokens that the text has behind the newest true one. */
  readonly ahead: readonly number[];
  /** 0: the token is true; else a guess. */
  readonly input: number;
}

/** The token that logits give at a place of the text. */
export function draw(
  { request, counts, draw, constraint }: Stepping,
  logits: Float32Array,
  likeliest: Likeliest | null,
  { position, ahead, input }: Place,
): number {
  const given = draw?.(logits, position, input);
  if (given !== undefined) return given;
  const text = counts && counts.with(ahead);
  if (constraint === undefined) return sample(logits, request, position, text, likeliest);
  return constraint.draw({ logits, ahead, unfiltered: !filters(request) }, (allowed) => {
    return sample(allowed, request, position, text, allowed === logits ? likeliest : null);
  });
}
