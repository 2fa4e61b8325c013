// attention.ts - measures what attention costs here: a store of the planned shape and settings is
// filled with random rows and steps run on it, at a few lengths. Between and beyond them time grows
// by the token, for a step reads every code (every row in mode full) and a fixed number of rows.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { SpecacheError } from "../errors.ts";
import { refusedAs } from "../system.ts";
import { NativeStore, optionsOf } from "../native.ts";
import type { StoreShape } from "../native_config.ts";
import type { Profile } from "../profile.ts";
import type { Settings } from "../settings.ts";
import { median, noise } from "./numbers.ts";

/** Seconds of one layer behind a number of tokens. */
export interface LayerTimes {
  /** Tokens, rising. */
  readonly tokens: readonly number[];
  /** A step's attention. */
  readonly step: readonly number[];
  /** Prefill: one more token's attention, and the coding of its rows. */
  readonly prefill: readonly number[];
}

/** What is measured. */
export interface AttentionTask {
  readonly settings: Settings;
  readonly shape: StoreShape;
  /** Whose sizes count; its numbers do not. */
  readonly profile: Profile | null;
  /** Tokens that are planned for. */
  readonly tokens: number;
  /** Inputs of a step: the true token and guesses. */
  readonly inputs: number;
}

const ACTION = "measure attention";
const SAMPLE_TOKENS = 4096; // longest that is measured
const SHORT_TOKENS = 64; // where weights are measured too
const ROWS_BYTES = 2 ** 27; // of the rows that are filled in
const RUN_TOKENS = 64; // filled in at a time; those before a sample are attended too
const STEPS = 9;
const CORRELATION = 0.92; // of neighbouring queries: a quarter of the chosen rows change in a step

/** Measures attention. */
export function measureAttention(task: AttentionTask): LayerTimes {
  const { settings, shape } = task;
  const rowBytes = shape.kvHeads * shape.headDim * 2 * 2;
  const lengths = lengthsOf(task, Math.max(2 * RUN_TOKENS, Math.floor(ROWS_BYTES / rowBytes)));
  const longest = lengths.at(-1)!;
  const layers = Math.min(shape.layers, Math.max(1, Math.floor(ROWS_BYTES / longest / rowBytes)));
  const folder = settings.farFile === null
    ? null
    : temporaryFolder(dirname(settings.farFile), ACTION);
  try {
    const small = { ...shape, layers };
    const store = NativeStore.open(
      sampleSettings(settings, longest + RUN_TOKENS, folder && join(folder, "far")),
      small,
      task.profile && plainProfile(task.profile, small),
      ACTION,
    );
    try {
      return new Sampler(store, small, task).run(lengths);
    } finally {
      store.close();
    }
  } finally {
    if (folder !== null) rmSync(folder, { recursive: true, force: true });
  }
}

/** A new folder within another. */
export function temporaryFolder(parent: string, action: string): string {
  try {
    return mkdtempSync(join(parent, "specache-plan-"));
  } catch (cause) {
    throw new SpecacheError(
      "file",
      `Cannot ${action}: ${parent} ${refusedAs(cause, existsSync(parent) ? "written" : "read")}`,
      {
        cause,
      },
    );
  }
}

function lengthsOf({ settings, tokens }: AttentionTask, most: number): number[] {
  const longest = Math.min(tokens, most, Math.max(SAMPLE_TOKENS, 2 * settings.k));
  const middle = Math.max(Math.ceil(longest / 4), Math.min(settings.k, Math.ceil(longest / 2)));
  const lengths = [Math.min(SHORT_TOKENS, Math.ceil(tokens / 2)), middle, longest];
  return [...new Set(lengths)].sort((one, other) => one - other);
}

/** The settings, for a sample of them. */
export function sampleSettings(settings: Settings, tokensMax: number, far: string | null) {
  const { k, kMax, slots } = settings;
  return {
    ...settings,
    ...{ k: Math.min(k, tokensMax), kMax: Math.min(kMax, tokensMax) },
    ...{ slots: Math.min(slots, tokensMax), tokensMax, sequencesMax: 1 },
    ...{ farFile: far, nearBytes: 0, farBytes: 0, audit: 0 },
  };
}

/** A profile of the same sizes for some layers: no time depends on its numbers. */
export function plainProfile(profile: Profile, { layers, kvHeads, headDim }: StoreShape): Profile {
  const heads = layers * kvHeads;
  const keyBits = profile.keyBits && profile.keyBits.slice(0, heads);
  if (profile.valueBasis === null) return { ...profile, keyBits };
  const { valuePlanes } = profile;
  const valueBasis = new Float32Array(heads * headDim * headDim);
  for (let head = 0; head < heads; head++) {
    for (let i = 0; i < headDim; i++) valueBasis[(head * headDim + i) * headDim + i] = 1;
  }
  const planeChannel = Uint32Array.from(
    { length: heads * valuePlanes },
    (_, at) => at % valuePlanes % headDim,
  );
  const planeWeight = Float32Array.from(
    { length: heads * valuePlanes },
    (_, at) => 1 / (1 + Math.floor(at % valuePlanes / headDim)), // those of a channel descend
  );
  return { valuePlanes, keyBits, valueBasis, planeChannel, planeWeight };
}

class Sampler {
  readonly #sequence: bigint;
  readonly #random: Float32Array;
  #query: Float32Array; // [inputs, queryHeads, headDim]
  #tokens = 0;
  #offset = 0;

  constructor(
    readonly store: NativeStore,
    readonly shape: StoreShape,
    readonly task: AttentionTask,
  ) {
    const { kvHeads, queryHeads, headDim } = shape;
    this.#sequence = store.openSequence();
    const widest = Math.max(RUN_TOKENS, task.inputs) * Math.max(kvHeads, queryHeads) * headDim;
    this.#random = noise(2 * widest, 1);
    this.#query = this.#draw(task.inputs * queryHeads * headDim).slice();
  }

  run(lengths: readonly number[]): LayerTimes {
    const [step, prefill]: [number[], number[]] = [[], []];
    for (const length of lengths) {
      const last = Math.min(RUN_TOKENS, length - this.#tokens);
      while (this.#tokens < length - last) {
        this.#fill(Math.min(RUN_TOKENS, length - last - this.#tokens), false);
      }
      prefill.push(this.#fill(last, true) / last);
      step.push(this.#step());
    }
    return { tokens: lengths, step, prefill };
  }

  // Other numbers each time: a window that moves over the random ones.
  #draw(count: number): Float32Array {
    this.#offset = (this.#offset + 7919) % (this.#random.length - count + 1);
    return this.#random.subarray(this.#offset, this.#offset + count);
  }

  /** Adds tokens; the seconds of the first layer, which is attended where that is asked for. */
  #fill(tokens: number, attended: boolean): number {
    const { kvHeads, queryHeads, headDim, layers } = this.shape;
    const { library, id } = this.store;
    let seconds = 0;
    for (let layer = 0; layer < layers; layer++) {
      const rows = tokens * kvHeads * headDim;
      const queries = attended && layer === 0 ? this.#draw(tokens * queryHeads * headDim) : null;
      const started = performance.now();
      const status = library.symbols.specache_append(
        ...[id, this.#sequence, layer, tokens] as const,
        ...[queries, this.#draw(rows), this.#draw(rows)] as const,
        queries && new Float32Array(queries.length),
      );
      if (layer === 0) seconds = (performance.now() - started) / 1000;
      library.check(ACTION, status);
    }
    this.#tokens += tokens;
    return seconds;
  }

  /** Seconds of a step's layer: the median of some steps. */
  #step(): number {
    const { kvHeads, headDim, layers } = this.shape;
    const { inputs, settings } = this.task;
    const { library, id } = this.store;
    const asked = optionsOf({ k: this.store.settings.k, late: lateOf(settings) });
    const rows = this.#draw(inputs * kvHeads * headDim);
    const outputs = new Float32Array(this.#query.length);
    const times = Array.from({ length: STEPS }, () => {
      this.#walk();
      const started = performance.now();
      const { specache_begin, specache_attend } = library.symbols;
      library.check(ACTION, specache_begin(id, this.#sequence, inputs, 1, asked));
      for (let layer = 0; layer < layers; layer++) {
        const status = specache_attend(
          ...[id, this.#sequence, layer, this.#query, rows, rows, outputs] as const,
        );
        library.check(ACTION, status);
      }
      this.store.keep(this.#sequence, 1); // what it fetched counts in the next one
      return (performance.now() - started) / 1000 / layers;
    });
    this.store.truncate(this.#sequence, this.#tokens);
    return median(times.slice(2)); // the first ones find nothing in caches
  }

  #walk(): void {
    const fresh = this.#draw(this.#query.length);
    const share = Math.sqrt(1 - CORRELATION ** 2);
    this.#query = this.#query.map((x, at) => CORRELATION * x + share * fresh[at]);
  }
}

/** Which late rows a step reads by default. */
export function lateOf({ mode }: Settings): "all" | "none" {
  return mode === "paper" ? "none" : "all";
}
