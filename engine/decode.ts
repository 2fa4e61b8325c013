// decode.ts - a request from prompt to last token: prefill in pieces, pre-decode, then one step a
// token (DESIGN section 3).
//
//   prefill    logits after the prompt -> x_1
//   pre-decode r passes of x_1 and the guesses so far -> r guesses; nothing is kept
//   step       inputs [x_t, guesses] -> row 0 -> x_{t+1}; row i -> the next step's guess i; a row
//              is the token that the library drew, and logits where the request needs more
//   steps      steps of one input that the library makes one behind the other (in_a_row.ts)
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
import { type NativeStore, optionsOf, type StepShare } from "./native.ts";
import type { Constraint } from "./constrain/constraint.ts";
import { draw, drawsOf, predictedOf, rowsOf, stepAgain, type Stepping, toldOf } from "./draws.ts";
import { mayStepInARow, stepsInARow } from "./in_a_row.ts";
import type { Likeliest } from "./sampler.ts";
import type { Logprobs } from "./sampling/logprobs.ts";
import { penalises, TokenCounts } from "./sampling/penalties.ts";
import type { Request } from "./settings.ts";
import { keepStep, regain } from "./regain.ts";

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
  /** Whether nobody else wants a turn; left out: steps are made one by one. */
  alone?(): boolean;
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
    else if (value.kind === "steps") answer = store.inARow(value);
    else answer = value.kind === "read" ? store.settings.chunkTokens : yield value;
  }
}

/** A decode that waits for a step; no step of its sequence is at work. */
export interface StepAsk {
  readonly kind: "step";
  readonly share: StepShare;
}

/** A decode that waits for steps in a row; no step of its sequence is at work. */
export interface StepsAsk {
  readonly kind: "steps";
  /** Of the first: one input, trusted. Each one's token is the next one's input. */
  readonly share: StepShare;
  /** At most so many, and none that would end later, but for the first. */
  readonly steps: number;
  readonly milliseconds: number;
  /** Tokens behind which it ends. */
  readonly ends: Uint32Array;
}

/** A decode that waits for its turn to read a piece of its prompt. */
export interface ReadAsk {
  readonly kind: "read";
}

/** What a decode waits for. */
export type Ask = StepAsk | StepsAsk | ReadAsk;

/**
 * Of a StepAsk: what its inputs predict, null where it was cancelled. Of a StepsAsk: what each of
 * its steps predicts; all are kept but one whose token is UNDECIDED or whose logits are not finite.
 * Of a ReadAsk: tokens of the piece at most. null, to all: nothing was made, as the sequence was
 * set back or is given up. Of an event: as decode().
 */
export type Answer = Likeliest[] | null | number | boolean | void;

/** A decode that waits for another to give it its turns. */
export type Asking<Result> = Generator<DecodeEvent | Ask, Result, Answer>;

/** As decode(), but asks for its turns, and for its steps, which several may have made together. */
export function* decodeAsking(run: Run): Asking<Stop> {
  const { state, request } = run;
  if (!(yield* prefill(run))) return "cancelled";
  const policy = new AcceptPolicy(request.accept);
  const counts = penalises(request) ? TokenCounts.of(state.text.ids, state.prompted) : null;
  const ends = Uint32Array.from(run.eos);
  const stepping: Stepping = { ...run, counts, ends, options: optionsOf(request), ...rowsOf(run) };
  let emitted = 0;
  while (emitted < request.maxTokens) {
    if (run.cancelled()) return "cancelled";
    const stepsBefore = state.steps;
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
      const made = state.steps - stepsBefore;
      if (made > 1) state.steps -= made - 1 - at; // of steps in a row those that were cut off
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
  const timed = (steps: number) => {
    if (state.recomputed !== recomputed) return; // it was set back meanwhile
    policy.timed(trusted, (performance.now() - started) / steps);
  };
  if (!found && guesses.length === 0 && mayStepInARow(run, left)) {
    const drawn = yield* stepsInARow(run, left);
    if (drawn !== null) timed(drawn.length);
    return drawn;
  }
  const ask = askOf(run, guesses, 1 + trusted);
  const answer = (yield ask) as Likeliest[] | null;
  const likeliest = state.whole ? answer : yield* stepAgain(run, ask);
  if (likeliest === null) return null;
  timed(1);
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
