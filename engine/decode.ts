// decode.ts - a request from prompt to last token: prefill in pieces, pre-decode, then one step a
// token (DESIGN section 3).
//
//   prefill    logits after the prompt -> x_1
//   pre-decode r passes of x_1 and the guesses so far -> r guesses; nothing is kept
//   step       inputs [x_t, guesses] -> row 0 -> x_{t+1}; row i -> the next step's guess i; a row
//              is the token that the library drew, and logits where the request needs more
//   accept     guesses of a lookup run as trusted inputs: while input i's guess is the token that
//              came, row i gives a true token too, bit for bit that of the next step
//
// Positions: the sequence holds `length` tokens, so x_t stands at `length`, and what input i
// predicts at `length + 1 + i`. The last emitted token is not in the sequence before it has run as
// an input, so a request that ended or was cancelled goes on as if it had not.
import { AcceptPolicy } from "./accept.ts";
import { SpecacheError } from "./errors.ts";
import type { DecodeState } from "./decode_state.ts";
import { countGuess } from "./guesses.ts";
import { type NativeStore, optionsOf, samplingOf, type StepShare, UNDECIDED } from "./native.ts";
import type { Constraint } from "./constrain/constraint.ts";
import { filters, type Likeliest, mostProbable, needsLogits, sample } from "./sampler.ts";
import { type Logprobs, logprobsOf } from "./sampling/logprobs.ts";
import { penalises, TokenCounts } from "./sampling/penalties.ts";
import type { Request } from "./settings.ts";
import { dropStep, keepStep, regain } from "./regain.ts";

/** Why a generation ended. */
export type Stop = "eos" | "length" | "stop" | "cancelled";

/** What a decode tells as it goes. */
export type DecodeEvent =
  | { readonly kind: "prefilled"; readonly tokens: number; readonly left: number }
  | Drawn;

/** A token of the text. */
export interface Drawn {
  readonly kind: "token";
  readonly id: number;
  readonly logprobs: Logprobs | null;
}

/** A request at work on a state. */
export interface Run {
  readonly store: NativeStore;
  readonly state: DecodeState;
  readonly request: Request;
  readonly eos: readonly number[];
  /**
   * What turns the logits (vocabulary) of an input into the token of `position`; left out: the
   * request's sampler. An evaluation feeds another mode's tokens.
   */
  draw?(logits: Float32Array, position: number, input: number): number;
  /** Holds the text to the request's format; left out: it is free. */
  readonly constraint?: Constraint;
  /** Whether the request was cancelled; read between native calls and draws. */
  cancelled(): boolean;
}

/**
 * Decodes until eos, the request's tokens, its cancellation, or until who takes the events answers
 * one that brings a token with true: then that token is the last.
 */
export function* decode(run: Run): Generator<DecodeEvent, Stop, boolean | void> {
  const { store } = run;
  const asking = decodeAsking(run);
  for (let answer: Answer = undefined;;) {
    const { done, value } = asking.next(answer);
    if (done) return value;
    if (value.kind === "step") answer = store.steps([value.share])?.[0] ?? null;
    else answer = value.kind === "read" ? store.settings.chunkTokens : yield value;
  }
}

/** A decode that waits for a step; no step of its sequence is at work. */
export interface StepAsk {
  readonly kind: "step";
  readonly share: StepShare;
}

/** A decode that waits for its turn to read a piece of its prompt. */
export interface ReadAsk {
  readonly kind: "read";
}

/**
 * Of a StepAsk: what its inputs predict, null where it was cancelled. Of a ReadAsk: tokens of the
 * piece at most. null, to both: nothing was made, as the sequence was set back or is given up. Of
 * an event: as decode().
 */
export type Answer = Likeliest[] | null | number | boolean | void;

/** A decode that waits for another to give it its turns. */
export type Asking<Result> = Generator<DecodeEvent | StepAsk | ReadAsk, Result, Answer>;

/** As decode(), but asks for its turns, and for its steps, which several may have made together. */
export function* decodeAsking(run: Run): Asking<Stop> {
  const { state, request } = run;
  if (!(yield* prefill(run))) return "cancelled";
  const policy = new AcceptPolicy(request.accept);
  const counts = penalises(request) ? TokenCounts.of(state.text.ids, state.prompted) : null;
  const stepping: Stepping = { ...run, counts, options: optionsOf(request), ...rowsOf(run) };
  let emitted = 0;
  while (emitted < request.maxTokens) {
    if (run.cancelled()) return "cancelled";
    const drawn = state.next === null
      ? [first(stepping)]
      : yield* step(stepping, policy, request.maxTokens - emitted);
    if (drawn === null) continue; // cancelled for another request: the flag above decides
    const last = drawn[drawn.length - 1].id;
    const ended = run.eos.includes(last);
    if (ended) drawn.pop();
    state.next = ended ? null : last;
    const ids: number[] = [];
    for (let at = 0; at < drawn.length; at++) ids.push(drawn[at].id);
    state.text.add(ids);
    counts?.add(ids);
    run.constraint?.add(ids);
    emitted += drawn.length;
    for (let at = 0; at < drawn.length; at++) {
      if (!(yield drawn[at])) continue;
      endAt(run, drawn[at].id, drawn.length - 1 - at);
      return "stop";
    }
    if (ended) return "eos";
  }
  return "length";
}

// Leaves the text as if token `id`, behind which a step has given `more`, had been its last: it
// waits for its turn as an input.
function endAt({ store, state }: Run, id: number, more: number): void {
  if (more === 0 && state.next !== null) return;
  const held = state.text.length - 1 - more;
  store.truncate(state.sequence, held);
  state.cut(held);
  state.text.add([id]);
  state.next = id;
}

interface Stepping extends Run {
  /** What the request asks of each step, as the library takes it. */
  readonly options: Uint32Array;
  /** The text's tokens, where penalties count them. */
  readonly counts: TokenCounts | null;
  /** (1 + guesses, vocabulary) of a step; null: the likeliest tokens say all that is asked. */
  readonly logits: Float32Array | null;
  /** How the library draws, which gives logits of undecided tokens alone; null: it does not. */
  readonly sampling: Uint32Array | null;
  /** Its rows (vocabulary): a view takes as long to make as a call into the library. */
  readonly rows: readonly Float32Array[] | null;
}

function rowsOf({ store, request, draw }: Run): Pick<Stepping, "logits" | "sampling" | "rows"> {
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

// What the inputs of a step predict that its sequence was set back for: as it was, it steps again.
// null: cancelled.
function* stepAgain(run: Stepping, ask: StepAsk): Asking<Likeliest[] | null> {
  let likeliest: Likeliest[] | null = null;
  while (!run.state.whole) {
    if (!(yield* regain(run))) return null;
    likeliest = (yield ask) as Likeliest[] | null;
  }
  return likeliest;
}

// The newest token and guesses of what follows it, of which the first `trusted` inputs may be kept.
function askOf(run: Stepping, guesses: readonly number[], trusted: number): StepAsk {
  const { state, options, logits, sampling } = run;
  const inputs = [state.next!];
  for (let at = 0; at < guesses.length; at++) inputs.push(guesses[at]);
  const { sequence } = state;
  return { kind: "step", share: { sequence, inputs, trusted, options, logits, sampling } };
}

function* prefill(run: Run): Asking<boolean> {
  const { store, state, cancelled } = run;
  const { vocabulary } = store;
  while (state.unread.length > 0) {
    if (cancelled() || !(yield* regain(run))) return false;
    const most = (yield { kind: "read" }) as number | null;
    if (cancelled()) return false;
    if (most === null) continue;
    const piece = state.unread.slice(0, most);
    const last = piece.length === state.unread.length;
    const logits = last ? new Float32Array(vocabulary) : null;
    if (!store.prefill(state.sequence, piece, logits)) continue;
    state.read(piece.length);
    state.unread = state.unread.slice(piece.length);
    state.logits = logits;
    yield { kind: "prefilled", tokens: piece.length, left: state.unread.length };
  }
  return true;
}

// The first token after a prompt is drawn from the prompt's own logits.
function first(run: Stepping): Drawn {
  const { state, request } = run;
  const { logits } = state;
  if (logits === null) {
    throw new SpecacheError(
      "argument",
      "Cannot generate: the prompt is empty, and no generation is there to go on with",
    );
  }
  state.logits = null;
  const id = draw(run, logits, null, { position: state.length, ahead: [], input: 0 });
  return { kind: "token", id, logprobs: toldOf(logits, id, request) };
}

// Passes over the codes alone that bring the guesses to what the request asks; false: cancelled.
function* predecode(run: Stepping): Asking<boolean> {
  const { store, state, request } = run;
  const { guesses, sequence } = state;
  while (guesses.length < request.guesses) {
    const before = guesses.after(request.guesses);
    const ask = askOf(run, before, 0);
    const answer = (yield ask) as Likeliest[] | null;
    const likeliest = state.whole ? answer : yield* stepAgain(run, ask);
    if (likeliest === null) return false;
    store.keep(sequence, 0);
    guesses.extend(predictedOf(run, likeliest, before.length, before, before.length + 1));
  }
  return true;
}

// The tokens of one step, at least one and at most `left`; null: cancelled.
function* step(run: Stepping, policy: AcceptPolicy, left: number): Asking<Drawn[] | null> {
  const { state, request } = run;
  const lookups = state.text.after(request.lookups); // the next true token is the text's last
  const found = lookups.length > 0;
  const trusted = found ? Math.min(policy.inputs(lookups.length), left - 1) : 0;
  // Guesses of a lookup while lookups are right, else the chain's, which may have to begin anew.
  const copied = trusted > 0 || found && policy.likely;
  if (!copied && state.guesses.length < request.guesses && !(yield* predecode(run))) return null;
  const guesses = copied
    ? lookups.slice(0, trusted > 0 ? trusted : request.guesses)
    : state.guesses.after(request.guesses);
  const { name } = copied ? state.text : state.guesses;
  const { recomputed } = state;
  const started = performance.now();
  const ask = askOf(run, guesses, 1 + trusted);
  const answer = (yield ask) as Likeliest[] | null;
  const likeliest = state.whole ? answer : yield* stepAgain(run, ask);
  if (likeliest === null) return null;
  const timed = state.recomputed === recomputed; // it was not set back meanwhile
  if (timed) policy.timed(trusted, performance.now() - started);
  const draws = drawsOf(run, likeliest, guesses, trusted);
  if (draws === null) {
    run.store.keep(state.sequence, 0);
    return null;
  }
  const { drawn, predicted } = draws;
  if (!keepStep(run, drawn.length)) return null;
  state.stepped(drawn.length);
  state.steps++;
  state.guessStats.accepted += drawn.length - 1;
  if (found) policy.heard(lookups[0] === drawn[0].id);
  if (guesses.length > 0) countGuess(state.guessStats, name, guesses[0], drawn[0].id);
  state.guesses.advance(predicted);
  return drawn;
}

interface Draws {
  /** The true tokens. */
  readonly drawn: Drawn[];
  /** What the inputs behind them predict. */
  readonly predicted: number[];
}

// What the rows of the step at work give; null: cancelled. An error drops the step.
// What input i predicts stands behind the guesses before it; those of true rows are true. A draw
// from a large vocabulary takes as long as a layer, so each looks for a cancel.
function drawsOf(
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

function toldOf(logits: Float32Array, id: number, { logprobs }: Request): Logprobs | null {
  return logprobs === 0 ? null : logprobsOf(logits, id, logprobs);
}

// The token that a step's row predicts, behind the guesses before it.
function predictedOf(
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

function draw(
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
