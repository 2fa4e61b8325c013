// store_memory.ts - the memory that all raw stores of a server may have together.
import type { KvStoreOptions } from "../engine/config.ts";
import { SpecacheError } from "../engine/errors.ts";
import type { ServedStore, ServedStores } from "./store_engine.ts";

/** Bytes of all stores together, where the options do not tell. */
export const STORE_BYTES = 2 ** 30;
/** Stores that may be open together, where the options do not tell: each has threads of its own. */
export const STORES_MAX = 16;

/** Memory that a store and its forks share. */
export class Reserved {
  /** Stores of it that are open. */
  stores = 0;
  constructor(readonly bytes: number) {}
}

/** What is free, and what is taken. */
export class StoreMemory {
  readonly #stores: ServedStores;
  readonly #bytesMax: number;
  readonly #countMax: number;
  #bytes = 0;
  #count = 0;

  /** Nothing is taken. */
  constructor(stores: ServedStores, bytesMax: number, countMax: number) {
    this.#stores = stores;
    this.#bytesMax = bytesMax;
    this.#countMax = countMax;
  }

  /**
   * Opens a store, if there is room for it.
   *
   * @throws {SpecacheError} argument: it can never fit; capacity: others have the room
   */
  async open(options: KvStoreOptions): Promise<{ store: ServedStore; memory: Reserved }> {
    const { reservedBytes, farBytes } = await this.#stores.plan(options);
    const memory = new Reserved(reservedBytes + farBytes);
    const { bytes } = memory;
    if (bytes > this.#bytesMax) {
      throw new SpecacheError(
        "argument",
        `Cannot open a store: its ${bytes} bytes are above the server's ${this.#bytesMax}`,
        { details: { bytes, bytesMax: this.#bytesMax } },
      );
    }
    if (this.#bytes + bytes > this.#bytesMax) {
      throw new SpecacheError(
        "capacity",
        `Cannot open a store: its ${bytes} bytes are more than open stores leave of the ` +
          `server's ${this.#bytesMax}`, // whose they are is not told, so nor is how many bytes
        { details: { bytes, taken: this.#bytes, bytesMax: this.#bytesMax } },
      );
    }
    return await this.take(memory, () => this.#stores.open(options));
  }

  /**
   * Counts the store that `open` makes of memory, before it is made.
   *
   * @throws {SpecacheError} capacity: as many as may be are open
   */
  async take(
    memory: Reserved,
    open: () => ServedStore | Promise<ServedStore>,
  ): Promise<{ store: ServedStore; memory: Reserved }> {
    if (this.#count >= this.#countMax) {
      throw new SpecacheError(
        "capacity",
        `Cannot open a store: ${this.#count} are open, and the server has ${this.#countMax}`,
        { details: { count: this.#count, countMax: this.#countMax } },
      );
    }
    this.#count++;
    if (memory.stores++ === 0) this.#bytes += memory.bytes;
    try {
      return { store: await open(), memory };
    } catch (error) {
      this.give(memory);
      throw error;
    }
  }

  /** One store of `memory` is closed. */
  give(memory: Reserved): void {
    this.#count--;
    if (--memory.stores === 0) this.#bytes -= memory.bytes;
  }
}
