// regain.ts - a text that was set back has its sequence again as it was: what was read is read, and
// what steps had as inputs are inputs of steps, which see codes, as those before them did. So every
// bit that follows is the one that would have followed (DESIGN section 7), and nothing is drawn.
import type { Asking, Run } from "./decode.ts";
import { optionsOf } from "./native.ts";
import type { Likeliest } from "./sampler.ts";

type Regaining = Pick<Run, "store" | "state" | "request" | "cancelled">;

/** Brings a sequence to where its text was; false: cancelled. */
export function* regain(run: Regaining): Asking<boolean> {
  const { store, state, cancelled } = run;
  while (!state.whole) {
    if (cancelled()) return false;
    const { ids, read } = state.lost(1 + store.settings.guessesMax);
    if (read) yield* readAgain(run);
    else yield* stepAgain(run, ids);
  }
  return true;
}

// While it waits for its turn more may be lost.
function* readAgain({ store, state, cancelled }: Regaining): Asking<void> {
  const most = (yield { kind: "read" }) as number | null;
  if (most === null || cancelled()) return;
  const piece = state.lost(most).ids;
  if (store.prefill(state.sequence, piece, null)) state.read(piece.length);
}

// As many at a time as a step takes: each has the bits of a step of its own.
function* stepAgain(
  { store, state, request }: Regaining,
  inputs: readonly number[],
): Asking<void> {
  const trusted = inputs.length;
  const options = optionsOf(request);
  const share = { sequence: state.sequence, inputs, trusted, options, logits: null };
  const predicted = (yield { kind: "step", share }) as Likeliest[] | null;
  if (predicted === null) return;
  if (keepStep({ store, state }, trusted)) state.stepped(trusted);
}

/** Ends the step at work; one that cannot be kept is dropped. False: cancelled. */
export function keepStep({ store, state }: Pick<Run, "store" | "state">, inputs: number): boolean {
  try {
    return store.keep(state.sequence, inputs);
  } catch (error) {
    dropStep({ store, state });
    throw error;
  }
}

/** Drops the step at work. */
export function dropStep({ store, state }: Pick<Run, "store" | "state">): void {
  try {
    store.keep(state.sequence, 0);
  } catch {
    // A store that cannot drop a step says so at its next call; what came first is told.
  }
}
