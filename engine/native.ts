// native.ts - a store of the library as an object: settings to structs, statuses to errors.
import { auditStats } from "./audit.ts";
import { auditCount, farAccessCount, statuses } from "../ffi/constants.ts";
import { type Library, libraryFor, sharedLibrary } from "../ffi/library.ts";
import { writeConfig, writeModelConfig, writeTensor } from "../ffi/structs.ts";
import { configOf, ISAS, profileStruct, type StoreShape } from "./native_config.ts";
import { optionsOf, StepCall, type StepRequest, type StepShare } from "./native_step.ts";
import type { Isa } from "./config.ts";
import type { StepsAsk } from "./decode.ts";
import type { ModelDescription } from "./model/describe.ts";
import type { Profile } from "./profile.ts";
import type { Likeliest } from "./sampler.ts";
import type { Settings } from "./settings.ts";
import { type CacheStats, type GuessStats, readStats, STATS_COUNT } from "./stats.ts";

export { optionsOf, samplingOf, type StepRequest, type StepShare } from "./native_step.ts";
export { UNDECIDED } from "./native_step.ts";

const NEVER = 2 ** 32 - 1; // the position of a step that there was not

/** How a far file is read. */
export interface FarAccess {
  /** Past the page cache (O_DIRECT); else what was read is dropped from it at once. */
  readonly direct: boolean;
  /** By io_uring; else by threads. */
  readonly ring: boolean;
  /** Bytes that reads are multiples of. */
  readonly alignment: number;
  /** Reads under way together at most. */
  readonly readsMost: number;
  readonly reads: number;
  readonly bytes: number;
}

/** Pages of 64 tokens of a store's pool. */
export interface Pages {
  /** That no sequence holds. */
  readonly free: number;
  readonly all: number;
}

/** Pages of a sequence. */
export interface SequencePages {
  readonly held: number;
  /** Those that no other sequence shares: what closing it frees. */
  readonly own: number;
}

/** What input 0 of a step attended by its exact rows. */
export interface Watched {
  /** Of that input. */
  readonly position: number;
  /** Tokens of each list [layers, kvHeads]; 0 in mode full. */
  readonly counts: Uint32Array;
  /** Ascending [layers, kvHeads, kMax], the first `counts` of each list. */
  readonly tokens: Uint32Array;
  /** As tokens: 0 its row was in a slot, 1 late, 2 left out by `late`. */
  readonly sources: Uint8Array;
}

/** A store in the library. */
export class NativeStore {
  readonly isa: Isa | "cuda";
  readonly threads: number;
  /** `cpu`, or the GPU's name. */
  readonly deviceName: string;
  #vocabulary = 0;
  readonly #step = new StepCall();

  private constructor(
    readonly library: Library,
    readonly id: bigint,
    readonly settings: Settings,
    readonly shape: StoreShape,
  ) {
    const { specache_isa, specache_threads } = library.symbols;
    const best = ISAS[specache_isa()] as Isa;
    const host = settings.isa === "best" ? best : settings.isa;
    this.isa = settings.device === "cuda" ? "cuda" : host;
    this.deviceName = this.#readDeviceName();
    this.threads = settings.threads || specache_threads();
  }

  /** Reserves all memory of a store. */
  static open(
    settings: Settings,
    shape: StoreShape,
    profile: Profile | null,
    action: string,
  ): NativeStore {
    const library = sharedLibrary(libraryFor(settings.device));
    const store = new BigUint64Array(1);
    const path = settings.farFile === null ? null : new TextEncoder().encode(settings.farFile);
    const status = library.symbols.specache_store_open(
      writeConfig(configOf(settings, shape)),
      path,
      path?.length ?? 0,
      profileStruct(profile),
      profile?.keyBits ?? null,
      profile?.valueBasis ?? null,
      profile?.planeChannel ?? null,
      profile?.planeWeight ?? null,
      store,
    );
    library.check(action, status);
    const opened = new NativeStore(library, store[0], settings, shape);
    if (settings.audit > 0) opened.audit(settings.audit, settings.auditSeed);
    return opened;
  }

  #readDeviceName(): string {
    const [name, length] = [new Uint8Array(256), new Uint32Array(1)];
    const { specache_store_device } = this.library.symbols;
    this.library.check(
      "name the device",
      specache_store_device(this.id, name, name.length, length),
    );
    return new TextDecoder().decode(name.subarray(0, length[0]));
  }

  /** Numbers of a row of logits; 0 without a model. */
  get vocabulary(): number {
    return this.#vocabulary;
  }

  /** Maps a model's weights and checks them. */
  loadModel(model: ModelDescription): void {
    const { symbols } = this.library;
    const check = (status: number) => this.library.check("open an engine", status);
    const config = writeModelConfig({
      vocabulary: model.vocabulary,
      hidden: model.hidden,
      intermediate: model.intermediate,
      tokensMax: model.tokensMax,
      epsilon: model.epsilon,
      ropeNeighbours: model.ropeNeighbours ? 1 : 0,
      ropeMagnitude: model.ropeMagnitude,
      queryKeyNorms: model.queryKeyNorms ? 1 : 0,
      tied: model.tied ? 1 : 0,
      int8Activations: this.settings.activations === "int8" ? 1 : 0,
    });
    check(symbols.specache_model_open(this.id, config, model.frequencies));
    const encoder = new TextEncoder();
    for (const tensor of model.tensors) {
      const path = encoder.encode(tensor.path);
      const name = encoder.encode(tensor.name);
      check(symbols.specache_model_tensor(
        this.id,
        writeTensor(tensor),
        path,
        path.length,
        name,
        name.length,
      ));
    }
    check(symbols.specache_model_ready(this.id));
    this.#vocabulary = model.vocabulary;
  }

  openSequence(): bigint {
    const sequence = new BigUint64Array(1);
    const status = this.library.symbols.specache_sequence_open(this.id, sequence);
    this.library.check("open a sequence", status);
    return sequence[0];
  }

  fork(sequence: bigint): bigint {
    const fork = new BigUint64Array(1);
    const status = this.library.symbols.specache_sequence_fork(this.id, sequence, fork);
    this.library.check("fork a sequence", status);
    return fork[0];
  }

  truncate(sequence: bigint, tokens: number): void {
    const status = this.library.symbols.specache_sequence_truncate(this.id, sequence, tokens);
    this.library.check("truncate a sequence", status);
  }

  closeSequence(sequence: bigint): void {
    const status = this.library.symbols.specache_sequence_close(this.id, sequence);
    this.library.check("close a sequence", status);
  }

  /** Pages of the pool that all sequences share. */
  pages(): Pages {
    const [free, all] = [new Uint32Array(1), new Uint32Array(1)];
    const status = this.library.symbols.specache_pages(this.id, free, all);
    this.library.check("count pages", status);
    return { free: free[0], all: all[0] };
  }

  /** Pages of one sequence. */
  sequencePages(sequence: bigint): SequencePages {
    const [held, own] = [new Uint32Array(1), new Uint32Array(1)];
    const { specache_sequence_pages } = this.library.symbols;
    this.library.check("count pages", specache_sequence_pages(this.id, sequence, held, own));
    return { held: held[0], own: own[0] };
  }

  /** Watches the steps of one sequence from now on; null: of none. */
  watch(sequence: bigint | null): void {
    const status = this.library.symbols.specache_watch(this.id, sequence ?? 0n);
    this.library.check("watch a sequence", status);
  }

  /** What the watched sequence's last kept step read; null: it has had none since. */
  watched(): Watched | null {
    const { layers, kvHeads } = this.shape;
    const lists = layers * kvHeads;
    const kMax = this.settings.mode === "full" ? 0 : this.settings.kMax;
    const [position, counts] = [new Uint32Array(1), new Uint32Array(lists)];
    const [tokens, sources] = [new Uint32Array(lists * kMax), new Uint8Array(lists * kMax)];
    const status = this.library.symbols.specache_watched(
      this.id,
      position,
      counts,
      kMax === 0 ? null : tokens,
      kMax === 0 ? null : sources,
    );
    this.library.check("read what a sequence was watched for", status);
    return position[0] === NEVER ? null : { position: position[0], counts, tokens, sources };
  }

  stats(sequence: bigint, guess: GuessStats): CacheStats {
    const counters = new BigUint64Array(STATS_COUNT);
    const status = this.library.symbols.specache_sequence_stats(this.id, sequence, counters);
    this.library.check("read counters", status);
    const audit = this.settings.audit === 0
      ? null
      : auditStats(this.audited(sequence), this.shape, this.settings);
    return { ...readStats(counters, this.settings.mode, structuredClone(guess)), audit };
  }

  /** Exact prefill; logits (vocabulary) after the last token, or null. False: cancelled. */
  prefill(sequence: bigint, tokens: readonly number[], logits: Float32Array | null): boolean {
    const ids = Uint32Array.from(tokens);
    const { specache_prefill } = this.library.symbols;
    return this.#ran("prefill", specache_prefill(this.id, sequence, ids, ids.length, logits));
  }

  /** A run of keys and values, after rope [tokens, kvHeads, headDim], of one layer. */
  append(
    sequence: bigint,
    layer: number,
    tokens: number,
    keys: Float32Array,
    values: Float32Array,
  ): void {
    const { specache_append } = this.library.symbols;
    const status = specache_append(this.id, sequence, layer, tokens, null, keys, values, null);
    this.library.check("append rows", status);
  }

  /** Appends random tokens: for benches and tests of long texts. */
  fill(sequence: bigint, tokens: number, seed: number): void {
    const status = this.library.symbols.specache_fill(this.id, sequence, tokens, seed);
    this.library.check("fill a sequence", status);
  }

  /** Seconds in which all threads read `bytes` of far memory from `first` on: a bench's limit. */
  readFar(first: number, bytes: number): number {
    const nanoseconds = new BigUint64Array(1);
    const { specache_read_far } = this.library.symbols;
    const status = specache_read_far(this.id, BigInt(first), BigInt(bytes), nanoseconds);
    this.library.check("read far memory", status);
    return Number(nanoseconds[0]) / 1e9;
  }

  /** How a far file is read, and what reads it took so far; false and 0 where there is none. */
  farAccess(): FarAccess {
    const values = new BigUint64Array(farAccessCount);
    const status = this.library.symbols.specache_far_access(this.id, values);
    this.library.check("ask for far memory", status);
    const [direct, ring, alignment, readsMost, reads, bytes] = Array.from(values, Number);
    return { direct: direct === 1, ring: ring === 1, alignment, readsMost, reads, bytes };
  }

  /** Seconds of `reads` fetches of `bytes` from random places of a far file: a bench's limit. */
  farReads(reads: number, bytes: number, seed: number): number {
    const nanoseconds = new BigUint64Array(1);
    const { specache_far_reads } = this.library.symbols;
    const status = specache_far_reads(this.id, reads, bytes, seed, nanoseconds);
    this.library.check("read the far file", status);
    return Number(nanoseconds[0]) / 1e9;
  }

  /**
   * One step: what each input predicts, and logits (inputs, vocabulary) unless they are null. Null:
   * cancelled, nothing is kept.
   */
  step(
    sequence: bigint,
    inputs: readonly number[],
    trusted: number,
    request: StepRequest,
    logits: Float32Array | null,
  ): Likeliest[] | null {
    const options = optionsOf(request);
    return this.steps([{ sequence, inputs, trusted, options, logits }])?.[0] ?? null;
  }

  /**
   * One step of several sequences, each at most once, which read the weights together: what the
   * inputs of each predict, the same as if it were stepped alone. Null: cancelled, and no sequence
   * has a step at work; `keep` ends that of each.
   */
  steps(shares: readonly StepShare[]): Likeliest[][] | null {
    const status = this.#step.make(this, shares);
    return this.#ran("decode a step", status) ? this.#step.predicted(this, shares) : null;
  }

  /** Steps in a row, as StepsAsk says: what each predicts. Null: the first was cancelled. */
  inARow(ask: StepsAsk): Likeliest[] | null {
    const status = this.#step.makeInARow(this, ask);
    return this.#ran("decode a step", status) ? this.#step.predictedInARow() : null;
  }

  /** Ends a step: its first `count` inputs stay; 0 drops it. False: cancelled, and dropped. */
  keep(sequence: bigint, count: number): boolean {
    const status = this.library.symbols.specache_keep(this.id, sequence, count);
    return this.#ran("end a step", status);
  }

  /** From now on the queries of each step's input 0 are kept, until the next step's. */
  record(): void {
    this.library.check("record queries", this.library.symbols.specache_record(this.id));
  }

  /** Those queries, after rope [layers, queryHeads, headDim]. */
  recorded({ layers, queryHeads, headDim }: StoreShape): Float32Array {
    const queries = new Float32Array(layers * queryHeads * headDim);
    this.library.check("read queries", this.library.symbols.specache_recorded(this.id, queries));
    return queries;
  }

  /** Audits a drawn share of (step, layer, KV head) from now on; counts begin anew. */
  audit(share: number, seed: number): void {
    const bits = new Uint32Array(Float32Array.of(share).buffer)[0];
    const high = Math.floor(seed / 2 ** 32);
    const status = this.library.symbols.specache_audit(this.id, bits, seed >>> 0, high);
    this.library.check("audit", status);
  }

  /** Sums of the audit, [layers, kvHeads, auditCount] in the order of auditSums. */
  audited(sequence: bigint): Float64Array {
    const { layers, kvHeads } = this.shape;
    const sums = new Float64Array(layers * kvHeads * auditCount);
    const status = this.library.symbols.specache_audited(this.id, sequence, sums);
    this.library.check("read the audit", status);
    return sums;
  }

  /** Keys and values, as stored, of a layer's first `tokens` tokens [tokens, kvHeads, headDim]. */
  rows(
    sequence: bigint,
    layer: number,
    tokens: number,
    { kvHeads, headDim }: StoreShape,
  ): { readonly keys: Float32Array; readonly values: Float32Array } {
    const keys = new Float32Array(tokens * kvHeads * headDim);
    const values = new Float32Array(keys.length);
    const { specache_rows } = this.library.symbols;
    const status = specache_rows(this.id, sequence, layer, 0, tokens, keys, values);
    this.library.check("read rows", status);
    return { keys, values };
  }

  close(): void {
    const status = this.library.symbols.specache_store_close(this.id);
    this.library.check("close a store", status);
  }

  #ran(action: string, status: number): boolean {
    if (status === statuses.cancelled) return false;
    this.library.check(action, status);
    return true;
  }
}
