// store_engine.ts - what the routes need of raw stores. Types alone: nothing here loads the
// library.
import type { KvStoreOptions, StepInput, StepOptions, StoreRun } from "../engine/config.ts";
import type { CachePlan } from "../engine/plan.ts";
import type { CacheStats } from "../engine/stats.ts";

/** A value, or a promise of it. */
export type Told<T> = T | Promise<T>;

/** A store that is served; KvStore is one. */
export interface ServedStore {
  /** Tokens held. */
  readonly length: Told<number>;
  /** As KvStore.prefill. */
  prefill(layer: number, run: StoreRun): Told<Float32Array | null>;
  /** As KvStore.begin. */
  begin(options: StepOptions): Told<void>;
  /** As KvStore.attend. */
  attend(layer: number, input: StepInput): Told<Float32Array>;
  /** As KvStore.end. */
  end(options: { readonly keep: number }): Told<void>;
  /** As KvStore.fork. */
  fork(): Told<ServedStore>;
  /** As KvStore.truncate. */
  truncate(tokens: number): Told<void>;
  /** As KvStore.stats. */
  stats(): Told<CacheStats>;
  /** Gives the memory back. */
  close(): Told<void>;
}

/** What opens stores; KvStore does. */
export interface ServedStores {
  /** Bytes that a store would take, before it is opened. */
  plan(options: KvStoreOptions): Told<Pick<CachePlan, "reservedBytes" | "farBytes">>;
  /** Reserves all memory of a store. */
  open(options: KvStoreOptions): Told<ServedStore>;
}
