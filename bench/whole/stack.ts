// stack.ts - a model with a cache of random rows, of which several sequences are stepped at once.
import type { CacheOptions } from "../../engine/config.ts";
import type { ModelDescription } from "../../engine/model/describe.ts";
import { NativeStore, optionsOf } from "../../engine/native.ts";
import { type CachePlan, planCache } from "../../engine/plan.ts";
import { weightBytes } from "../../engine/predict/weights.ts";
import { type Settings, settle } from "../../engine/settings.ts";
import { randomProfile } from "../random_profile.ts";

const ACTION = "open a bench";
const NUMBER_BYTES = 2; // of a key's or value's number

/** A model's first layers. */
export function firstLayers(model: ModelDescription, layers: number): ModelDescription {
  return { ...model, layers, tensors: model.tensors.filter(({ layer }) => layer < layers) };
}

/** Bytes of a token's rows in all layers. */
export function tokenBytes({ layers, kvHeads, headDim }: ModelDescription): number {
  return layers * kvHeads * 2 * headDim * NUMBER_BYTES;
}

/** How a stack's cache is opened. */
export interface StackOptions extends CacheOptions {
  readonly mode: "full" | "specache";
  readonly k: number;
}

/** Settings and profile; values have a quarter of a bit in a random basis, as `default` has. */
export function settingsOf(
  model: ModelDescription,
  options: StackOptions,
  tokensMax: number,
): { readonly settings: Settings; readonly profile: ReturnType<typeof randomProfile> | null } {
  const coded = options.mode !== "full";
  const { layers, kvHeads, headDim } = model;
  const profile = coded
    ? randomProfile({ layers, kvHeads, headDim, planes: headDim / 4, keyBits: 2 })
    : null;
  const parts = profile && { keys: true, values: true };
  const settings = settle({ guessesMax: 0, ...options }, tokensMax, parts, ACTION);
  return { settings, profile };
}

/** What such a cache takes for one sequence of `tokens`, and what opening reserves. */
export function planOf(
  model: ModelDescription,
  options: StackOptions,
  tokens: number,
  tokensMax = tokens,
): CachePlan {
  const { settings, profile } = settingsOf(model, options, tokensMax);
  return planCache(settings, model, profile, tokens);
}

/** The least bytes of a step: weights once; of each sequence its codes and k rows, or all rows. */
export function stepBytes(
  model: ModelDescription,
  options: StackOptions,
  tokens: number,
  sequences: number,
): number {
  const { codes, rows } = planOf(model, options, tokens).parts;
  const exact = options.mode === "full" ? 0 : Math.min(options.k, tokens) * tokenBytes(model);
  return weightBytes(model) + sequences * (codes + rows + exact);
}

/** A model, and sequences of random rows. */
export class Stack implements Disposable {
  readonly native: NativeStore;
  readonly #sequences: readonly bigint[];
  readonly #k: number;
  readonly #vocabulary: number;

  constructor(
    model: ModelDescription,
    options: StackOptions,
    tokens: number,
    sequences: number,
    room = 64,
  ) {
    const { settings, profile } = settingsOf(model, { ...options, sequences }, tokens + room);
    this.#k = options.mode === "full" ? 0 : settings.k;
    this.#vocabulary = model.vocabulary;
    this.native = NativeStore.open(settings, model, profile, ACTION);
    this.native.loadModel(model);
    this.#sequences = Array.from({ length: sequences }, (_, at) => {
      const sequence = this.native.openSequence();
      this.native.fill(sequence, tokens, at + 1);
      return sequence;
    });
  }

  /** Steps the first `count` sequences at once, and drops the step; milliseconds. */
  step(count: number): number {
    const options = optionsOf({ k: this.#k, late: "all" });
    const started = performance.now();
    const shares = this.#sequences.slice(0, count).map((sequence, at) => (
      { sequence, inputs: [(at * 37 + 11) % this.#vocabulary], trusted: 1, options, logits: null }
    ));
    this.native.steps(shares);
    for (const { sequence } of shares) this.native.keep(sequence, 0);
    return performance.now() - started;
  }

  [Symbol.dispose](): void {
    this.native.close();
  }
}
