// layers.ts - a store of several layers of random tokens, and one layer's share of a step on it.
// Layers are taken in turn, so that a layer has left every cache when its turn comes again.
import { NativeStore, optionsOf } from "../../engine/native.ts";
import { planCache } from "../../engine/plan.ts";
import type { Profile } from "../../engine/profile.ts";
import { settle } from "../../engine/settings.ts";
import type { CacheOptions } from "../../mod.ts";
import { noise } from "../walk.ts";

/** 8 KV heads of 128, 32 query heads. */
export const SHAPE = { kvHeads: 8, queryHeads: 32, headDim: 128 };
export const ROW_BYTES = 2 * SHAPE.headDim * 2; // a key and a value, 16 bits each
const QUERIES = 8; // different ones, taken in turn
/** Deviation of the logits of random rows: that of a query's numbers, at the usual scale. */
const DEVIATION = 1.5;

/** What is measured: how a store is opened. */
export interface Variant {
  readonly name: string;
  readonly options: CacheOptions;
  /** Planes of a value in a profile, 0: none. */
  readonly planes: number;
}

/** The least bytes that a step must read of one layer: codes and chosen rows, or all rows. */
export function leastBytes({ options, planes }: Variant, tokens: number, k: number): number {
  const { kvHeads } = SHAPE;
  if (options.mode === "full") return tokens * kvHeads * ROW_BYTES;
  const settings = settle(options, tokens, partsOf(planes), "plan a bench");
  const shape = { ...SHAPE, layers: 1 };
  const profile = planes === 0 ? null : randomProfile(planes, 1);
  const codes = planCache(settings, shape, profile, tokens).parts.codes;
  return codes + Math.min(k, tokens) * kvHeads * ROW_BYTES;
}

const partsOf = (planes: number) => planes === 0 ? null : { keys: false, values: true };

/** Random tokens in `layers` layers. */
export class RandomLayers implements Disposable {
  readonly native: NativeStore;
  readonly #sequence: bigint;
  readonly #queries: Float32Array[];
  readonly #row = noise(SHAPE.kvHeads * SHAPE.headDim, 99);
  /** Of the last layer that attended. */
  readonly outputs = new Float32Array(SHAPE.queryHeads * SHAPE.headDim);
  readonly #options: Uint32Array;
  #steps = 0;

  constructor(variant: Variant, readonly layers: number, readonly tokens: number, k: number) {
    const { options, planes } = variant;
    const settings = settle({ k, ...options }, tokens + 64, partsOf(planes), "open a bench");
    const profile = planes === 0 ? null : randomProfile(planes, layers);
    this.native = NativeStore.open(settings, { ...SHAPE, layers }, profile, "open a bench");
    this.#sequence = this.native.openSequence();
    this.native.fill(this.#sequence, tokens, 1);
    this.#options = optionsOf({ k: options.mode === "full" ? 0 : k, late: "all" });
    const width = SHAPE.queryHeads * SHAPE.headDim;
    this.#queries = Array.from(
      { length: QUERIES },
      (_, i) => noise(width, 7 + i).map((x) => x * DEVIATION),
    );
  }

  /** Milliseconds of each layer's attention in one step. */
  step(): number[] {
    const { library, id } = this.native;
    const { specache_begin, specache_attend } = library.symbols;
    library.check("begin", specache_begin(id, this.#sequence, 1, 1, this.#options));
    const queries = this.#queries[this.#steps++ % QUERIES];
    const times: number[] = [];
    for (let layer = 0; layer < this.layers; layer++) {
      const began = performance.now();
      const status = specache_attend(
        ...[id, this.#sequence, layer, queries, this.#row, this.#row, this.outputs] as const,
      );
      times.push(performance.now() - began);
      library.check("attend", status);
    }
    this.native.keep(this.#sequence, 0);
    return times;
  }

  /** Bytes a second that all threads read of the rows, over all layers. */
  readSpeed(): number {
    const bytes = this.layers * this.tokens * SHAPE.kvHeads * ROW_BYTES;
    return bytes / this.native.readFar(0, bytes);
  }

  [Symbol.dispose](): void {
    this.native.close();
  }
}

/** A profile of `planes` planes in a random orthonormal basis, which all heads share. */
export function randomProfile(planes: number, layers: number, shape = SHAPE): Profile {
  const { kvHeads, headDim } = shape;
  const heads = layers * kvHeads;
  const basis = orthonormal(noise(headDim * headDim, 3), headDim);
  const valueBasis = new Float32Array(heads * basis.length);
  for (let head = 0; head < heads; head++) valueBasis.set(basis, head * basis.length);
  return {
    valuePlanes: planes,
    keyBits: null,
    valueBasis,
    planeChannel: Uint32Array.from({ length: heads * planes }, (_, i) => i % planes),
    planeWeight: new Float32Array(heads * planes).fill(0.8),
  };
}

/** Rows made orthonormal one after the other (Gram and Schmidt). */
function orthonormal(rows: Float32Array, count: number): Float32Array {
  const row = (i: number) => rows.subarray(i * count, (i + 1) * count);
  const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  for (let i = 0; i < count; i++) {
    for (let pass = 0; pass < 2; pass++) {
      for (let j = 0; j < i; j++) {
        const part = dot(row(i), row(j));
        row(j).forEach((x, at) => row(i)[at] -= part * x);
      }
    }
    const norm = Math.sqrt(dot(row(i), row(i)));
    row(i).forEach((x, at) => row(i)[at] = x / norm);
  }
  return rows;
}
