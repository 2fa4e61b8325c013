// decode.ts - a request from prompt to last token: prefill in pieces, pre-decode, then one step a
// token (DESIGN section 3).
//
//   prefill    logits after the prompt -> x_1
//   pre-decode r passes of x_1 and the guesses so far -> r guesses; nothing is kept
//   step       inputs [x_t, guesses] -> row 0 -> x_{t+1}; row i -> the next step's guess i; a row
//              is the most probable token, and logits where the request needs more
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
import type { NativeStore, StepShare } from "./native.ts";
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
  | { readonly kind: "token"; readonly id: number; readonly logprobs: Logprobs | null };

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
  const stepping: Stepping = { ...run, counts, logits: logitsOf(run) };
  let emitted = 0;
  while (emitted < request.maxTokens) {
    if (run.cancelled()) return "cancelled";
    const drawn = state.next === null
      ? [first(stepping)]
      : yield* step(stepping, policy, request.maxTokens - emitted);
    if (drawn === null) continue; // cancelled for another request: the flag above decides
    const ended = run.eos.includes(drawn.at(-1)!.id);
    const tokens = ended ? drawn.slice(0, -1) : drawn;
    state.next = ended ? null : drawn.at(-1)!.id;
    const ids = tokens.map(({ id }) => id);
    state.text.add(ids);
    counts?.add(ids);
    run.constraint?.add(ids);
    emitted += tokens.length;
    for (const [at, token] of tokens.entries()) {
      if (!(yield { kind: "token", ...token })) continue;
      endAt(run, token.id, tokens.length - 1 - at);
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
  /** The text's tokens, where penalties count them. */
  readonly counts: TokenCounts | null;
  /** (1 + guesses, vocabulary) of a step; null: the likeliest tokens say all that is asked. */
  readonly logits: Float32Array | null;
}

function logitsOf({ store, request, draw }: Run): Float32Array | null {
  if (draw === undefined && !needsLogits(request)) return null;
  const inputs = 1 + Math.max(request.guesses, request.lookups);
  return new Float32Array(inputs * store.vocabulary);
}

/** What an input predicts, and its logits (vocabulary) where they are needed. */
interface Predicted {
  readonly likeliest: Likeliest;
  readonly logits: Float32Array | null;
}

// A step of `inputs`: what each of them predicts; null: cancelled.
function* predict(
  run: Stepping,
  inputs: readonly number[],
  trusted: number,
): Asking<Predicted[] | null> {
  const { store, state, request, logits } = run;
  const share = { sequence: state.sequence, inputs, trusted, request, logits };
  let likeliest = (yield { kind: "step", share }) as Likeliest[] | null;
  while (!state.whole) {
    if (!(yield* regain(run))) return null;
    likeliest = (yield { kind: "step", share }) as Likeliest[] | null;
  }
  if (likeliest === null) return null;
  return likeliest.map((each, input) => ({
    likeliest: each,
    logits: logits?.subarray(input * store.vocabulary, (input + 1) * store.vocabulary) ?? null,
  }));
}

interface Drawn {
  readonly id: number;
  readonly logprobs: Logprobs | null;
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
  const id = draw(run, logits, state.length, [], 0);
  return { id, logprobs: toldOf(logits, id, request) };
}

// Passes over the codes alone that bring the guesses to what the request asks; false: cancelled.
function* predecode(run: Stepping): Asking<boolean> {
  const { store, state, request } = run;
  const { guesses, sequence } = state;
  while (guesses.length < request.guesses) {
    const inputs = [state.next!, ...guesses.after(request.guesses)];
    const predicted = yield* predict(run, inputs, 0);
    if (predicted === null) return false;
    store.keep(sequence, 0);
    const input = inputs.length - 1;
    const position = state.length + 1 + input;
    guesses.extend(drawOf(run, predicted[input], position, inputs.slice(1), input + 1));
  }
  return true;
}

// The tokens of one step, at least one and at most `left`; null: cancelled.
function* step(run: Stepping, policy: AcceptPolicy, left: number): Asking<Drawn[] | null> {
  const { state, request } = run;
  const lookups = state.text.after(request.lookups); // the next true token is the text's last
  const trusted = lookups.slice(0, Math.min(policy.inputs(lookups.length), left - 1));
  const ahead = trusted.length > 0 ? [] : yield* guessesAhead(run, lookups, policy);
  if (ahead === null) return null;
  const guesses = [...trusted, ...ahead];
  const { name } = trusted.length > 0 || policy.likely && lookups.length > 0
    ? state.text
    : state.guesses;
  const [started, { recomputed }] = [performance.now(), state];
  const inputs = [state.next!, ...guesses];
  const rows = yield* predict(run, inputs, 1 + trusted.length);
  if (rows === null) return null;
  const timed = state.recomputed === recomputed; // it was not set back meanwhile
  if (timed) policy.timed(trusted.length, performance.now() - started);
  const draws = drawsOf(run, rows, trusted, guesses);
  if (draws === null) return null;
  const { drawn, predicted } = draws;
  if (!keepStep(run, drawn.length)) return null;
  state.stepped(drawn.length);
  state.steps++;
  state.guessStats.accepted += drawn.length - 1;
  if (lookups.length > 0) policy.heard(lookups[0] === drawn[0].id);
  if (guesses.length > 0) countGuess(state.guessStats, name, guesses[0], drawn[0].id);
  state.guesses.advance([0, ...predicted]);
  return drawn;
}

interface Draws {
  /** The true tokens. */
  readonly drawn: Drawn[];
  /** What the inputs behind them predict. */
  readonly predicted: number[];
}

// What the rows of the step at work give; null: cancelled. The step is dropped where they give
// nothing.
function drawsOf(
  run: Stepping,
  rows: readonly Predicted[],
  trusted: readonly number[],
  guesses: readonly number[],
): Draws | null {
  let draws: Draws | null;
  try {
    draws = drawRows(run, rows, trusted, guesses);
  } catch (error) {
    dropStep(run);
    throw error;
  }
  if (draws === null) run.store.keep(run.state.sequence, 0);
  return draws;
}

// What input i predicts stands behind the guesses before it; those of true rows are true. A draw
// from a large vocabulary takes as long as a layer, so each looks for a cancel.
function drawRows(
  run: Stepping,
  rows: readonly Predicted[],
  trusted: readonly number[],
  guesses: readonly number[],
): Draws | null {
  const after = run.state.length + 1;
  const drawn: Drawn[] = [];
  do {
    if (run.cancelled()) return null;
    const row = drawn.length;
    drawn.push(drawTrue(run, rows[row], after + row, guesses.slice(0, row)));
  } while (
    drawn.length <= trusted.length && drawn.at(-1)!.id === trusted[drawn.length - 1] &&
    !run.eos.includes(drawn.at(-1)!.id)
  );
  // What inputs behind the last true one predict is the chain's; a lookup leaves it nothing.
  const predicted: number[] = [];
  for (let input = drawn.length; input < rows.length; input++) {
    if (run.cancelled()) return null;
    predicted.push(drawOf(run, rows[input], after + input, guesses.slice(0, input), input));
  }
  return { drawn, predicted };
}

// Guesses that run for the prefetch alone: a lookup's while lookups are right, else the chain's,
// which may have to begin anew. null: cancelled.
function* guessesAhead(
  run: Stepping,
  lookups: readonly number[],
  policy: AcceptPolicy,
): Asking<readonly number[] | null> {
  const { state, request } = run;
  if (lookups.length > 0 && policy.likely) return lookups.slice(0, request.guesses);
  return (yield* predecode(run)) ? state.guesses.after(request.guesses) : null;
}

function drawTrue(
  run: Stepping,
  predicted: Predicted,
  position: number,
  ahead: readonly number[],
): Drawn {
  const id = drawOf(run, predicted, position, ahead, 0);
  const { logits } = predicted;
  return { id, logprobs: logits === null ? null : toldOf(logits, id, run.request) };
}

function toldOf(logits: Float32Array, id: number, { logprobs }: Request): Logprobs | null {
  return logprobs === 0 ? null : logprobsOf(logits, id, logprobs);
}

// The token of `position`, where the text has `ahead` behind the newest true token.
function drawOf(
  run: Stepping,
  { likeliest, logits }: Predicted,
  position: number,
  ahead: readonly number[],
  input: number,
): number {
  return logits === null ? mostProbable(likeliest) : draw(run, logits, position, ahead, input);
}

function draw(
  { request, counts, draw, constraint }: Stepping,
  logits: Float32Array,
  position: number,
  ahead: readonly number[],
  input: number,
): number {
  const given = draw?.(logits, position, input);
  if (given !== undefined) return given;
  const judged = (logits: Float32Array) =>
    sample(logits, request, position, counts && counts.with(ahead));
  if (constraint === undefined) return judged(logits);
  return constraint.draw({ logits, ahead, unfiltered: !filters(request) }, judged);
}
