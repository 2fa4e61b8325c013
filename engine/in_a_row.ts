// in_a_row.ts - steps that the library makes in a row. TypeScript between two steps finds its own
// code and data thrown out of the caches by the model, and takes longer than its work: so where
// nobody else wants a turn, and the library can draw, it is crossed once for several tokens.
import type { Asking, Drawn, StepsAsk } from "./decode.ts";
import { draw, stepAgain, type Stepping } from "./draws.ts";
import { UNDECIDED } from "./native.ts";
import { dropStep, keepStep } from "./regain.ts";
import { type Likeliest, mostProbable } from "./sampler.ts";

/**
 * Milliseconds that steps in a row take at most, unless one alone takes longer: text goes on forty
 * times a second, and whoever comes meanwhile waits no longer.
 */
const LONGEST_MS = 25;
const MOST_STEPS = 16; // a page holds 64: what is asked for early is little

/** Whether a request's next steps may be made in a row: of one input, with nothing to look at. */
export function mayStepInARow({ rows, sampling, alone }: Stepping, left: number): boolean {
  return left > 1 && (rows === null || sampling !== null) && alone?.() === true;
}

/** The tokens of steps in a row, at least one and at most `left`; null: cancelled. */
export function* stepsInARow(run: Stepping, left: number): Asking<Drawn[] | null> {
  const { state, options, logits, sampling, ends } = run;
  const { sequence } = state;
  const share = { sequence, inputs: [state.next!], trusted: 1, options, logits, sampling };
  const steps = Math.min(left, MOST_STEPS);
  const ask: StepsAsk = { kind: "steps", share, steps, milliseconds: LONGEST_MS, ends };
  const answer = (yield ask) as Likeliest[] | null;
  const likeliest = state.whole ? answer : yield* stepAgain(run, ask);
  if (likeliest === null) return null;
  const drawn: Drawn[] = [];
  const last = likeliest.length - 1;
  for (let at = 0; at < last; at++) drawn.push(tokenOf(likeliest[at].id));
  const { id, logit } = likeliest[last];
  if (id !== UNDECIDED && Number.isFinite(logit)) drawn.push(tokenOf(id));
  else if (endLast(run, drawn, likeliest[last]) && drawn.length === 0) return null;
  state.stepped(drawn.length);
  state.steps += drawn.length;
  return drawn;
}

// The last step is at work: its token is drawn here. True: it was cancelled, and there is none.
function endLast(run: Stepping, drawn: Drawn[], told: Likeliest): boolean {
  const position = run.state.length + 1 + drawn.length;
  let id: number;
  try {
    id = told.id === UNDECIDED
      ? draw(run, run.rows![0], null, { position, ahead: [], input: 0 })
      : mostProbable(told); // which refuses it: the library ends a row before such a step
  } catch (error) {
    dropStep(run);
    throw error;
  }
  if (!keepStep(run, 1)) return true;
  drawn.push(tokenOf(id));
  return false;
}

function tokenOf(id: number): Drawn {
  return { kind: "token", id, logprobs: null };
}
