// store_thread.ts - raw stores on a thread of their own, for programs whose event loop must stay
// free, as servers: KvStore with promises.
import { libraryFor, sharedLibrary } from "../ffi/library.ts";
import type { KvStoreOptions, StepInput, StepOptions, StoreRun } from "./config.ts";
import { SpecacheError } from "./errors.ts";
import { errorOf } from "./messages.ts";
import type { CachePlan } from "./plan.ts";
import type { CacheStats } from "./stats.ts";
import { KvStore } from "./store.ts";
import type { StoreAnswer, StoreAsk, StoreCall, StoreWorkerFile } from "./store_worker.ts";
import { workerUrl } from "./worker_url.ts";

const FILE: StoreWorkerFile = "./store_worker.ts";

type Ask = StoreAsk extends infer One ? One extends StoreAsk ? Omit<One, "id"> : never : never;

interface Pending {
  readonly answer: (value: unknown) => void;
  readonly fail: (error: SpecacheError) => void;
}

/**
 * A thread that stores are opened on. It starts with the first of them, and keeps the program from
 * ending until it is closed.
 *
 * @example
 * ```ts
 * import { ensureLibrary, StoreThread } from "@specache/specache";
 *
 * await ensureLibrary();
 * await using thread = new StoreThread();
 * const shape = { layers: 1, kvHeads: 1, queryHeads: 2, headDim: 16 };
 * const store = await thread.open({ ...shape, contextTokens: 256 });
 * const keys = new Float32Array(3 * 16).fill(0.5);
 * await store.prefill(0, { keys, values: keys });
 * console.log(await store.length); // 3
 * ```
 */
export class StoreThread implements AsyncDisposable {
  #worker: Worker | null = null;
  readonly #pending = new Map<number, Pending>();
  #calls = 0;
  #ended: SpecacheError | null = null;

  /** As KvStore.plan, at once. */
  plan(options: KvStoreOptions): CachePlan {
    return KvStore.plan(options);
  }

  /**
   * As KvStore.open.
   *
   * @throws {SpecacheError} as KvStore.open; closed
   */
  async open(options: KvStoreOptions): Promise<ThreadStore> {
    const { path: library } = sharedLibrary(libraryFor(options.device === "cuda" ? "cuda" : "cpu"));
    return this.#made(await this.#ask({ name: "open", library, options }));
  }

  /** Closes all stores and ends the thread; twice is fine. */
  async close(): Promise<void> {
    if (this.#ended !== null) return;
    const reason = new SpecacheError("closed", "Cannot use the store: its thread is closed");
    const closed = this.#worker === null ? null : this.#ask({ name: "end all" });
    this.#ended = reason;
    await closed?.catch(() => {});
    this.#end(reason);
  }

  /** As close(). */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #made(store: unknown): ThreadStore {
    return new ThreadStore((name, args = []) => {
      if (name === "fork") {
        return this.#ask({ name, store: store as number }).then((fork) => this.#made(fork));
      }
      if (name === "close") return this.#ask({ name, store: store as number });
      return this.#ask({ name, store: store as number, args });
    });
  }

  #ask(ask: Ask): Promise<unknown> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const worker = this.#worker ??= this.#start();
    const id = ++this.#calls;
    return new Promise((answer, fail) => {
      worker.postMessage({ ...ask, id });
      this.#pending.set(id, { answer, fail });
    });
  }

  #start(): Worker {
    const worker = new Worker(workerUrl(FILE, import.meta.url), { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<StoreAnswer>) => {
      const pending = this.#pending.get(data.id);
      this.#pending.delete(data.id);
      if ("error" in data) pending?.fail(errorOf(data.error));
      else pending?.answer(data.answer);
    };
    worker.onerror = (event) => {
      event.preventDefault(); // the error is the callers', not the process's
      const sentence = `Cannot go on in the thread of stores: ${event.message}`;
      this.#end(new SpecacheError("internal", sentence));
    };
    return worker;
  }

  #end(reason: SpecacheError): void {
    this.#ended = reason;
    this.#worker?.terminate();
    this.#worker = null;
    for (const { fail } of this.#pending.values()) fail(reason);
    this.#pending.clear();
  }
}

type Call = (name: StoreCall | "fork" | "close", args?: readonly unknown[]) => Promise<unknown>;

/** A store on a thread; StoreThread.open makes them. Buffers are copied when a call is made. */
export class ThreadStore implements AsyncDisposable {
  readonly #call: Call;
  #closed: Promise<unknown> | null = null;

  /** `call` makes a call of the store. */
  constructor(call: Call) {
    this.#call = call;
  }

  /** Tokens held. */
  get length(): Promise<number> {
    return this.#call("length") as Promise<number>;
  }

  /** As KvStore.prefill. */
  prefill(layer: number, run: StoreRun): Promise<Float32Array | null> {
    return this.#call("prefill", [layer, wholeOf(run)]) as Promise<Float32Array | null>;
  }

  /** As KvStore.begin. */
  async begin(options: StepOptions): Promise<void> {
    await this.#call("begin", [options]);
  }

  /** As KvStore.attend. */
  attend(layer: number, input: StepInput): Promise<Float32Array> {
    return this.#call("attend", [layer, wholeOf(input)]) as Promise<Float32Array>;
  }

  /** As KvStore.end. */
  async end(options: { readonly keep: number }): Promise<void> {
    await this.#call("end", [options]);
  }

  /** As KvStore.fork. */
  fork(): Promise<ThreadStore> {
    return this.#call("fork") as Promise<ThreadStore>;
  }

  /** As KvStore.truncate. */
  async truncate(tokens: number): Promise<void> {
    await this.#call("truncate", [tokens]);
  }

  /** As KvStore.stats. */
  stats(): Promise<CacheStats> {
    return this.#call("stats") as Promise<CacheStats>;
  }

  /** Gives the memory back; closing twice is fine. */
  async close(): Promise<void> {
    this.#closed ??= this.#call("close").catch((error) => {
      // A thread that was closed has given the memory back already.
      if (!(error instanceof SpecacheError && error.code === "closed")) throw error;
    });
    await this.#closed;
  }

  /** As close(). */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

// A copy of a part of an array is one of the whole array.
function wholeOf<Input extends object>(input: Input): Input {
  const entries = Object.entries(input).map(([name, each]) => {
    const isPart = each instanceof Float32Array && each.byteLength < each.buffer.byteLength;
    return [name, isPart ? each.slice() : each];
  });
  return Object.fromEntries(entries) as Input;
}
