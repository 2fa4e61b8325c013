// store.ts - bring your own model: give queries, keys and values layer by layer (DESIGN section 8).
// Synchronous: each call is one native call. Buffers are f32, lent for the call.
import {
  endOptions,
  type KvStoreOptions,
  kvStoreOptions,
  type StepInput,
  stepInput,
  type StepOptions,
  stepOptions,
  type StoreRun,
  storeRun,
  tokenCount,
} from "./config.ts";
import { SpecacheError } from "./errors.ts";
import { NativeStore, optionsOf } from "./native.ts";
import { parse } from "./parse.ts";
import { type CachePlan, planCache } from "./plan.ts";
import { type Profile, readProfile } from "./profile.ts";
import { type Settings, settle, settleRequest } from "./settings.ts";
import { type CacheStats, noGuesses } from "./stats.ts";

export type { StepInput, StepOptions, StoreRun } from "./config.ts";

const OPEN = "open a store";

/**
 * Keys and values of one text, codes near and rows far.
 *
 * @example
 * ```ts
 * import { ensureLibrary, KvStore } from "@specache/specache";
 *
 * await ensureLibrary();
 * const shape = { layers: 1, kvHeads: 1, queryHeads: 2, headDim: 16 };
 * using store = KvStore.open({ ...shape, contextTokens: 256 });
 * const keys = new Float32Array(3 * 16).fill(0.5);
 * store.prefill(0, { keys, values: keys });
 * store.begin({ inputs: 1 });
 * const token = keys.subarray(0, 16);
 * const outputs = store.attend(0, { queries: new Float32Array(32), keys: token, values: token });
 * store.end({ keep: 1 });
 * console.log(store.length, outputs.length); // 4 32
 * ```
 */
export class KvStore implements Disposable {
  readonly #native: NativeStore;
  readonly #options: KvStoreOptions;
  readonly #sequence: bigint;
  readonly #owner: { stores: number };
  #closed = false;
  #inputs = 0;

  private constructor(
    native: NativeStore,
    options: KvStoreOptions,
    sequence: bigint,
    owner: { stores: number },
  ) {
    this.#native = native;
    this.#options = options;
    this.#sequence = sequence;
    this.#owner = owner;
    owner.stores++;
  }

  /**
   * Reserves all memory of a store. The native library must be there: `await ensureLibrary()`.
   *
   * @throws {SpecacheError} argument, capacity, memory, file; device: no library is built
   */
  static open(options: KvStoreOptions): KvStore {
    const { asked, settings, profile } = settled(options);
    const native = NativeStore.open(settings, asked, profile, OPEN);
    try {
      return new KvStore(native, asked, native.openSequence(), { stores: 0 });
    } catch (error) {
      native.close();
      throw error;
    }
  }

  /**
   * The bytes that such a store takes, before any is reserved; for a sequence of contextTokens.
   *
   * @throws {SpecacheError} argument, capacity, file; device: no library is built
   */
  static plan(options: KvStoreOptions): CachePlan {
    const { asked, settings, profile } = settled(options);
    return planCache(settings, asked, profile, settings.tokensMax);
  }

  /** Tokens held. */
  get length(): number {
    return this.stats().tokens;
  }

  /** The settings that the options came to. */
  get settings(): Settings {
    return this.#native.settings;
  }

  /**
   * Adds a run of tokens to one layer, attended exactly; the run is in the store when every layer
   * has had it. Returns outputs [tokens, queryHeads, headDim] where queries are given. A layer that
   * is refused can be asked for again; `end({ keep: 0 })` drops a run that not every layer has had.
   *
   * @throws {SpecacheError} argument (also within a step), capacity, data (NaN or infinity)
   */
  prefill(layer: number, run: StoreRun): Float32Array | null {
    const action = `prefill layer ${layer}`;
    this.#check(action, layer);
    const { keys, values, queries } = parse(storeRun, run, action);
    const { kvHeads, queryHeads, headDim } = this.#options;
    const tokens = keys.length / (kvHeads * headDim);
    if (!Number.isInteger(tokens) || tokens === 0) {
      refuse(action, `keys of ${keys.length} numbers are not tokens of ${kvHeads} x ${headDim}`);
    }
    checkSize(action, "values", values, tokens, kvHeads, headDim);
    if (queries !== undefined) checkSize(action, "queries", queries, tokens, queryHeads, headDim);
    const outputs = queries === undefined ? null : new Float32Array(queries.length);
    const { library, id } = this.#native;
    const status = library.symbols.specache_append(
      id,
      this.#sequence,
      layer,
      tokens,
      queries ?? null,
      keys,
      values,
      outputs,
    );
    library.check(action, status);
    return outputs;
  }

  /**
   * Starts a step, which is at work until `end`: till then the store changes by `attend` alone.
   *
   * @throws {SpecacheError} argument (also within a step, or a run of prefill), capacity
   */
  begin(options: StepOptions): void {
    const action = "begin a step";
    this.#check(action, 0);
    const { inputs, trusted = 1, k, late } = parse(stepOptions, options, action);
    const paper = this.settings.mode === "paper";
    const guesses = paper ? 1 : 0;
    const request = settleRequest({ k, late, guesses }, this.settings, action);
    const { library, id } = this.#native;
    const asked = optionsOf(request);
    const status = library.symbols.specache_begin(id, this.#sequence, inputs, trusted, asked);
    library.check(action, status);
    this.#inputs = inputs;
  }

  /**
   * The step's next layer; returns outputs [inputs, queryHeads, headDim].
   *
   * @throws {SpecacheError} argument, data
   */
  attend(layer: number, input: StepInput): Float32Array {
    const action = `attend layer ${layer}`;
    this.#check(action, layer);
    const { queries, keys, values } = parse(stepInput, input, action);
    if (this.#inputs === 0) refuse(action, "no step is at work");
    const { kvHeads, queryHeads, headDim } = this.#options;
    checkSize(action, "queries", queries, this.#inputs, queryHeads, headDim);
    checkSize(action, "keys", keys, this.#inputs, kvHeads, headDim);
    checkSize(action, "values", values, this.#inputs, kvHeads, headDim);
    const outputs = new Float32Array(queries.length);
    const { library, id } = this.#native;
    const status = library.symbols.specache_attend(
      id,
      this.#sequence,
      layer,
      queries,
      keys,
      values,
      outputs,
    );
    library.check(action, status);
    return outputs;
  }

  /**
   * Ends the step: its first `keep` inputs are in the store from now on. `keep: 0` drops the step,
   * or the run of prefill, that is at work, wherever it stands: the store is as before it.
   *
   * @throws {SpecacheError} argument
   *
   * @example
   * ```ts
   * import { ensureLibrary, KvStore } from "@specache/specache";
   *
   * await ensureLibrary();
   * const shape = { layers: 2, kvHeads: 1, queryHeads: 2, headDim: 16 };
   * using store = KvStore.open({ ...shape, contextTokens: 256 });
   * const keys = new Float32Array(3 * 16).fill(0.5);
   * store.prefill(0, { keys, values: keys }); // layer 1 has not had this run
   * store.end({ keep: 0 });
   * console.log(store.length); // 0
   * ```
   */
  end(options: { readonly keep: number }): void {
    const action = "end a step";
    this.#check(action, 0);
    const { keep } = parse(endOptions, options, action);
    const { library, id } = this.#native;
    library.check(action, library.symbols.specache_keep(id, this.#sequence, keep));
    this.#inputs = 0;
  }

  /**
   * A second store of the same tokens; full pages are shared. Needs `sequences` of 2 or more.
   *
   * @throws {SpecacheError} argument: within a step or a run of prefill; capacity
   */
  fork(): KvStore {
    this.#check("fork a store", 0);
    const sequence = this.#native.fork(this.#sequence);
    return new KvStore(this.#native, this.#options, sequence, this.#owner);
  }

  /**
   * Forgets all but the first `tokens` tokens.
   *
   * @throws {SpecacheError} argument (also within a step or a run of prefill), data, file
   */
  truncate(tokens: number): void {
    this.#check("truncate a store", 0);
    parse(tokenCount, { tokens }, "truncate a store");
    this.#native.truncate(this.#sequence, tokens);
  }

  /** What is held and what was fetched. */
  stats(): CacheStats {
    this.#check("read counters", 0);
    return this.#native.stats(this.#sequence, noGuesses());
  }

  /** Gives the memory back; closing twice is fine. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (--this.#owner.stores === 0) this.#native.close();
    else this.#native.closeSequence(this.#sequence);
  }

  /** As close(). */
  [Symbol.dispose](): void {
    this.close();
  }

  #check(action: string, layer: number): void {
    if (this.#closed) {
      throw new SpecacheError("closed", `Cannot ${action}: the store is closed`);
    }
    const { layers } = this.#options;
    if (Number.isInteger(layer) && layer >= 0 && layer < layers) return;
    refuse(action, `layer ${layer} is none of 0 to ${layers - 1}`);
  }
}

interface Settled {
  readonly asked: KvStoreOptions;
  readonly settings: Settings;
  readonly profile: Profile | null;
}

function settled(options: KvStoreOptions): Settled {
  const asked = parse(kvStoreOptions, options, OPEN);
  if (asked.contextTokens === undefined) {
    throw new SpecacheError("argument", `Cannot ${OPEN}: contextTokens is missing`);
  }
  if (asked.queryHeads % asked.kvHeads !== 0) {
    throw new SpecacheError(
      "argument",
      `Cannot ${OPEN}: queryHeads ${asked.queryHeads} is not a multiple of kvHeads ` +
        asked.kvHeads,
    );
  }
  if (asked.profile === "auto") {
    throw new SpecacheError("argument", `Cannot ${OPEN}: profile auto needs a model`);
  }
  const none = asked.profile === undefined || asked.profile === "none";
  const profile = none ? null : readProfile(asked.profile!, asked);
  const parts = profile &&
    { keys: profile.keyBits !== null, values: profile.valueBasis !== null };
  const settings = settle(asked, asked.contextTokens, parts, OPEN);
  return { asked, settings, profile };
}

function checkSize(
  action: string,
  name: string,
  numbers: Float32Array,
  tokens: number,
  heads: number,
  dim: number,
): void {
  if (numbers.length === tokens * heads * dim) return;
  refuse(action, `${name} of ${numbers.length} numbers are not ${tokens} x ${heads} x ${dim}`);
}

function refuse(action: string, fault: string): never {
  throw new SpecacheError("argument", `Cannot ${action}: ${fault}`);
}
