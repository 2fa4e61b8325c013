// store_worker.ts - the thread that raw stores of a StoreThread live on: one call at a time.
import { closeLibrary, sharedLibrary } from "../ffi/library.ts";
import type { KvStoreOptions } from "./config.ts";
import { SpecacheError } from "./errors.ts";
import { type ErrorFields, fieldsOf } from "./messages.ts";
import { KvStore } from "./store.ts";

/** This module; by the thread's import of the type a packager sees that it is needed. */
export type StoreWorkerFile = "./store_worker.ts";

/** What a store is asked for, by the name of the method. */
export type StoreCall = "prefill" | "begin" | "attend" | "end" | "truncate" | "stats" | "length";

/** A call on its way to the worker; `store` is the number of one that is open. */
export type StoreAsk =
  & { readonly id: number }
  & (
    | { readonly name: "open"; readonly library: string; readonly options: KvStoreOptions }
    | { readonly name: "fork" | "close"; readonly store: number }
    | { readonly name: StoreCall; readonly store: number; readonly args: readonly unknown[] }
    | { readonly name: "end all" }
  );

/** An answer on its way back. */
export type StoreAnswer =
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly error: ErrorFields };

interface WorkerScope {
  onmessage: ((event: { readonly data: StoreAsk }) => void) | null;
  postMessage(answer: StoreAnswer, transfer: ArrayBuffer[]): void;
}

const scope = globalThis as unknown as WorkerScope;

const stores = new Map<number, KvStore>();
let opened = 0;

function added(store: KvStore): number {
  stores.set(++opened, store);
  return opened;
}

function storeOf(number: number): KvStore {
  const store = stores.get(number);
  if (store !== undefined) return store;
  throw new SpecacheError("closed", "Cannot use the store: it is closed");
}

function answerTo(ask: StoreAsk): unknown {
  switch (ask.name) {
    case "open":
      sharedLibrary(ask.library);
      return added(KvStore.open(ask.options));
    case "fork":
      return added(storeOf(ask.store).fork());
    case "close":
      storeOf(ask.store).close();
      return stores.delete(ask.store);
    case "end all":
      for (const store of stores.values()) store.close();
      stores.clear();
      return closeLibrary();
    case "length":
      return storeOf(ask.store).length;
    default: {
      const store = storeOf(ask.store);
      const method = store[ask.name] as (...args: readonly unknown[]) => unknown;
      return method.apply(store, [...ask.args]);
    }
  }
}

scope.onmessage = ({ data: ask }) => {
  const { id } = ask;
  try {
    const answer = answerTo(ask);
    const own = answer instanceof Float32Array ? [answer.buffer as ArrayBuffer] : [];
    scope.postMessage({ id, answer }, own);
  } catch (error) {
    scope.postMessage({ id, error: fieldsOf(error) }, []);
  }
};
