// trial_worker.ts - compiles one schema, and says whether it could.
import type { Format } from "./format.ts";
import { Grammars, type Vocabulary } from "./grammar.ts";

/** This module; by the trials' import of the type a packager sees that it is needed. */
export type TrialFile = "./trial_worker.ts";

/** What is tried. */
export interface TrialAsk extends Vocabulary {
  readonly format: Format;
}

/** What is said, in this order: `ready`, then one of the others. */
export type TrialWord = "ready" | "passed" | "failed";

interface TrialScope {
  onmessage: ((event: { readonly data: TrialAsk }) => void) | null;
  postMessage(word: TrialWord): void;
}

const scope = globalThis as unknown as TrialScope;

scope.onmessage = async ({ data: { format, ...vocabulary } }) => {
  try {
    const grammars = await Grammars.open(vocabulary);
    scope.postMessage("ready");
    const constraint = await grammars.constraint(format);
    const logits = new Float32Array(vocabulary.tokens.length);
    constraint.draw({ logits, ahead: [], unfiltered: false }, (masked) => masked.indexOf(0));
    scope.postMessage("passed");
  } catch {
    scope.postMessage("failed"); // whoever asked says so
  }
};
