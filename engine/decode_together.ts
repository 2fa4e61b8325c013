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
  // Tells what a request has come to, and goes on with it until it waits for a step or has ended.
  function* goOn(run: number, came: () => Came) {
    try {
      let { done, value } = came();
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
    // All take their rows, and end their step with it, before anybody is told of an event: whoever
    // takes that may stop here, or fork another request's sequence.
    const came = stepAll(store, asked.map(({ share }) => share)).map((answer, at) => {
      const decode = decodes[asked[at].run];
      return attempt(() =>
        "error" in answer ? decode.throw(answer.error) : decode.next(answer.predicted)
      );
    });
    for (const [at, result] of came.entries()) yield* goOn(asked[at].run, result);
  }
  return outcomes;
}

type Came = ReturnType<Asking<Stop>["next"]>;

// What a call gave or threw, to be had later.
function attempt(call: () => Came): () => Came {
  try {
    const came = call();
    return () => came;
  } catch (error) {
    return () => {
      throw error;
    };
  }
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
