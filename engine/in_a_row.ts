// in_a_row.ts - steps that the library makes in a row. TypeScript between two steps finds its own
// code and data thrown out of the caches by the model, and takes longer than its work: so where
// nobody else wants a turn, and the library can draw, it is crossed once for several tokens.
import type { Asking, Drawn, StepsAsk } from "./decode.ts";
import { draw, stepAgain, type Stepping } from "./draws.ts";
import { MATCH } from "./lookup.ts";
import { UNDECIDED } from "./native.ts";
import { dropStep, keepStep } from "./regain.ts";
import { type Likeliest, mostProbable } from "./sampler.ts";

/**
 * Milliseconds that steps in a row take at most, unless one alone takes longer: text goes on forty
 * times a second, and whoever comes meanwhile waits no longer.
 */
const LONGEST_MS = 25;
const MOST_STEPS = 16; // a page holds 64: what is asked for early is little
// A lookup that comes to match within them is found behind them: those of as many tokens as a match
// has lose little of a copy.
const MOST_BESIDE_LOOKUPS = MATCH;

/** Whether a request's next steps may be made in a row: of one input, with nothing to look at. */
export function mayStepInARow({ rows, sampling, alone }: Stepping, left: number): boolean {
  return left > 1 && (rows === null || sampling !== null) && alone?.() === true;
}

/** The tokens of steps in a row, at least one and at most `left`; null: cancelled. */
export function* stepsInARow(run: Stepping, left: number): Asking<Drawn[] | null> {
  const { state, request, options, logits, sampling, ends } = run;
  const { sequence } = state;
  const share = { sequence, inputs: [state.next!], trusted: 1, options, logits, sampling };
  const steps = Math.min(left, request.lookups > 0 ? MOST_BESIDE_LOOKUPS : MOST_STEPS);
  const ask: StepsAsk = { kind: "steps", share, steps, milliseconds: LONGEST_MS, ends };
  const answer = (yield ask) as Likeliest[] | null;
  const likeliest = state.whole ? answer : yield* stepAgain(run, ask);
  if (likeliest === null) return null;
  const { id, logit } = likeliest[likeliest.length - 1];
  const ended = id !== UNDECIDED && Number.isFinite(logit);
  const kept = ended ? likeliest : likeliest.slice(0, -1);
  state.guesses.restart(); // those of a request before this one
  took(run, kept.length);
  const drawn = kept.map(({ id }) => tokenOf(id));
  if (ended) return drawn;
  const last = endLast(run, { id, logit });
  if (last !== null) drawn.push(last);
  return drawn.length === 0 ? null : drawn;
}

function took({ state }: Stepping, steps: number): void {
  if (steps === 0) return;
  state.stepped(steps);
  state.steps += steps;
}

// The last step is at work: its token is drawn here. null: it was cancelled, and there is none.
function endLast(run: Stepping, told: Likeliest): Drawn | null {
  const position = run.state.length + 1;
  let id: number;
  try {
    id = told.id === UNDECIDED
      ? draw(run, run.rows![0], null, { position, ahead: [], input: 0 })
      : mostProbable(told); // which refuses it: the library ends a row before such a step
  } catch (error) {
    dropStep(run);
    throw error;
  }
  if (!keepStep(run, 1)) return null;
  took(run, 1);
  return tokenOf(id);
}

function tokenOf(id: number): Drawn {
  return { kind: "token", id, logprobs: null };
}
