// decode_together.ts - several requests on one store whose steps are one: the weights are read once
// for all of them, and each has the text that it would have alone.
import {
  type Asking,
  decodeAsking,
  type DecodeEvent,
  type Run,
  type StepAnswer,
  type Stop,
} from "./decode.ts";
import { SpecacheError } from "./errors.ts";
import type { NativeStore, StepShare } from "./native.ts";
import type { Likeliest } from "./sampler.ts";

/** An event of the request at place `run`. */
export interface TogetherEvent {
  readonly run: number;
  readonly event: DecodeEvent;
}

/** How a request came out; one that fails ends no other. */
export type Outcome = { readonly stop: Stop } | { readonly error: unknown };

interface Waiting {
  readonly run: number;
  readonly share: StepShare;
}

/**
 * Decodes all requests, each on a state of its own, as decode() does: who takes an event answers as
 * there. A prompt is read when its request's turn comes, so the others wait for it.
 */
export function* decodeTogether(
  runs: readonly Run[],
): Generator<TogetherEvent, Outcome[], boolean | void> {
  const [store] = new Set(runs.map((run) => run.store));
  if (runs.some((run) => run.store !== store)) {
    throw new SpecacheError("internal", "Cannot decode together: requests are of several stores");
  }
  const decodes = runs.map(decodeAsking);
  const outcomes: Outcome[] = [];
  let waiting: Waiting[] = [];
  // Goes on with a request until it waits for its next step, or has ended.
  function* goOn(run: number, next: () => ReturnType<Asking<Stop>["next"]>) {
    try {
      let { done, value } = next();
      while (!done) {
        const asked = value as DecodeEvent | { kind: "step"; share: StepShare };
        if (asked.kind === "step") return void waiting.push({ run, share: asked.share });
        const answer: StepAnswer = yield { run, event: asked };
        ({ done, value } = decodes[run].next(answer));
      }
      outcomes[run] = { stop: value as Stop };
    } catch (error) {
      outcomes[run] = { error };
    }
  }
  for (const [run, decode] of decodes.entries()) yield* goOn(run, () => decode.next());
  while (waiting.length > 0) {
    const asked = waiting;
    waiting = [];
    for (const [at, answer] of stepAll(store, asked.map(({ share }) => share)).entries()) {
      const decode = decodes[asked[at].run];
      yield* goOn(
        asked[at].run,
        () => "error" in answer ? decode.throw(answer.error) : decode.next(answer.predicted),
      );
    }
  }
  return outcomes;
}

type Stepped = { readonly predicted: Likeliest[] | null } | { readonly error: unknown };

// A step that fails leaves all as they were: made one by one, it fails for whom it must alone.
function stepAll(store: NativeStore, shares: readonly StepShare[]): Stepped[] {
  try {
    const all = store.steps(shares);
    return shares.map((_, at) => ({ predicted: all && all[at] }));
  } catch (error) {
    if (shares.length === 1) return [{ error }];
    return shares.flatMap((share) => stepAll(store, [share]));
  }
}
