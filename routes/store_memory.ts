// store_memory.ts - the memory that all raw stores of a server may have together. Where all is
// taken, the store that the tenant which has most used least recently makes way for another's.
import type { KvStoreOptions } from "../engine/config.ts";
import { SpecacheError } from "../engine/errors.ts";
import { makingWay, type Part } from "./share.ts";
import type { ServedStore, ServedStores } from "./store_engine.ts";

/** Bytes of all stores together, where the options do not tell. */
export const STORE_BYTES = 2 ** 30;
/** Stores that may be open together, where the options do not tell: each has threads of its own. */
export const STORES_MAX = 16;

/** Memory that a store and its forks share. */
export class Reserved {
  /** Stores of it that are open. */
  stores = 0;
  constructor(readonly tenant: string, readonly bytes: number) {}
}

/** A store that is open and may make way for another tenant's. */
export interface OpenStore extends Part {
  readonly memory: Reserved;
  /** Closes it; settles when its memory is free. */
  close(): Promise<void>;
}

/** What is free, and what is taken. */
export class StoreMemory {
  readonly #stores: ServedStores;
  readonly #bytesMax: number;
  readonly #countMax: number;
  /** What has stores: open, being opened or being closed. */
  readonly #taken = new Set<Reserved>();
  #last: Promise<unknown> = Promise.resolve();

  /** Nothing is taken. */
  constructor(stores: ServedStores, bytesMax: number, countMax: number) {
    this.#stores = stores;
    this.#bytesMax = bytesMax;
    this.#countMax = countMax;
  }

  /**
   * Opens a store for a tenant, if there is room for it, or `open` tells what makes way.
   *
   * @throws {SpecacheError} argument: it can never fit; capacity: others have the room
   */
  async open(
    options: KvStoreOptions,
    tenant: string,
    open: () => readonly OpenStore[],
  ): Promise<{ store: ServedStore; memory: Reserved }> {
    const { reservedBytes, farBytes } = await this.#stores.plan(options);
    const memory = new Reserved(tenant, reservedBytes + farBytes);
    const { bytes } = memory;
    if (bytes > this.#bytesMax) {
      throw new SpecacheError(
        "argument",
        `Cannot open a store: its ${bytes} bytes are above the server's ${this.#bytesMax}`,
        { details: { bytes, bytesMax: this.#bytesMax } },
      );
    }
    return await this.take(memory, () => this.#stores.open(options), open);
  }

  /**
   * Counts the store that `make` makes of memory, before it is made.
   *
   * @throws {SpecacheError} capacity: as many as may be are open
   */
  async take(
    memory: Reserved,
    make: () => ServedStore | Promise<ServedStore>,
    open: () => readonly OpenStore[],
  ): Promise<{ store: ServedStore; memory: Reserved }> {
    // One after the other: what makes way for one is not counted on by the next.
    const taken = this.#last.then(() => this.#take(memory, open()));
    this.#last = taken.catch(() => {});
    await taken;
    try {
      return { store: await make(), memory };
    } catch (error) {
      this.give(memory);
      throw error;
    }
  }

  /** One store of `memory` is closed. */
  give(memory: Reserved): void {
    if (--memory.stores === 0) this.#taken.delete(memory);
  }

  async #take(memory: Reserved, open: readonly OpenStore[]): Promise<void> {
    const first = memory.stores === 0 ? this.#bytesFor(memory, open) : [];
    const way = [...first, ...this.#placeFor(memory, open, first)];
    await Promise.all(way.map((store) => store.close()));
    memory.stores++;
    this.#taken.add(memory);
  }

  // Memory comes back with all stores of it.
  #bytesFor({ tenant, bytes }: Reserved, open: readonly OpenStore[]): readonly OpenStore[] {
    const parts = [...this.#taken].map((memory) => {
      const stores = open.filter((store) => store.memory === memory);
      const idle = stores.length === memory.stores && stores.every(({ used }) => used !== null);
      const used = idle ? Math.max(...stores.map(({ used }) => used!)) : null;
      return { tenant: memory.tenant, size: memory.bytes, used, stores };
    });
    const taken = parts.reduce((sum, { size }) => sum + size, 0);
    const way = makingWay(parts, tenant, bytes, this.#bytesMax - taken);
    if (way !== null) return way.flatMap(({ stores }) => stores);
    throw new SpecacheError(
      "capacity",
      `Cannot open a store: its ${bytes} bytes are more than open stores leave of the ` +
        `server's ${this.#bytesMax}`, // whose they are is not told, so nor is how many bytes
      { details: { bytes, taken, bytesMax: this.#bytesMax } },
    );
  }

  // `closing`: those that make way already.
  #placeFor(
    { tenant }: Reserved,
    open: readonly OpenStore[],
    closing: readonly OpenStore[],
  ): readonly OpenStore[] {
    const between = [...this.#taken].flatMap((memory) => {
      const others = memory.stores - open.filter((store) => store.memory === memory).length;
      return Array<Part>(others).fill({ tenant: memory.tenant, size: 1, used: null });
    });
    const parts = [...open.filter((store) => !closing.includes(store)), ...between];
    const way = makingWay<OpenStore | Part>(parts, tenant, 1, this.#countMax - parts.length);
    if (way !== null) return way.flatMap((part) => "close" in part ? part : []);
    const count = parts.length + closing.length;
    throw new SpecacheError(
      "capacity",
      `Cannot open a store: ${count} are open, and the server has ${this.#countMax}`,
      { details: { count, countMax: this.#countMax } },
    );
  }
}
