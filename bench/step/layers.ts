// layers.ts - a store of several layers of random tokens, and one layer's share of a step on it.
// Layers are taken in turn, so that a layer has left every cache when its turn comes again.
import { NativeStore, optionsOf } from "../../engine/native.ts";
import { planCache } from "../../engine/plan.ts";
import { settle } from "../../engine/settings.ts";
import type { CacheOptions } from "../../mod.ts";
import { randomProfile } from "../random_profile.ts";
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
  const profile = planes === 0 ? null : randomProfile({ ...SHAPE, planes, layers: 1 });
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
    const profile = planes === 0 ? null : randomProfile({ ...SHAPE, planes, layers });
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
