// line.ts - requests that wait for room: client by client in turn, each client's in the order they
// came. The one whose turn it is waits until there is room for it; nobody overtakes it for ever.
import { SpecacheError } from "./errors.ts";

/** A request that wants room. */
export interface Waiter<Room> {
  /** Who asks. */
  readonly client: string;
  /** Whether it was given up. */
  cancelled(): boolean;
  /** Its room, taken; null: there is none now. @throws: there never will be */
  take(): Room | null;
}

interface Waiting<Room> extends Waiter<Room> {
  readonly enter: (room: Room | null) => void;
  readonly fail: (error: unknown) => void;
}

/** Requests that wait. */
export class Line<Room> {
  readonly #most: number;
  /** By client; the client whose turn it is comes first. */
  readonly #clients = new Map<string, Waiting<Room>[]>();
  #waiting = 0;

  /** At most `most` wait. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /**
   * Its room, once it is its turn; null: it was given up. Where as many wait as may, the newest of
   * the client that waits most often is refused: this one, or one that makes way for it.
   *
   * @throws {SpecacheError} busy: as many wait as may; what `take` throws
   */
  enter(waiter: Waiter<Room>): Promise<Room | null> {
    const { promise, resolve, reject } = Promise.withResolvers<Room | null>();
    const waiting = { ...waiter, enter: resolve, fail: reject };
    if (waiter.cancelled()) return Promise.resolve(null);
    this.#sweep();
    if (this.#waiting === 0 && this.#admitted(waiting)) return promise;
    const { client } = waiter;
    if (this.#waiting >= this.#most && !this.#makeWay(client)) return Promise.reject(this.#full());
    const others = this.#clients.get(client);
    if (others === undefined) this.#clients.set(client, [waiting]);
    else others.push(waiting);
    this.#waiting++;
    return promise;
  }

  /** Lets in who has room now: to be called where some was given back, or somebody gave up. */
  admit(): void {
    this.#sweep();
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      if (!this.#admitted(next)) return;
      this.#leave(next);
    }
  }

  // Whether the newest of a client that has more in the line, with this one counted, made way.
  #makeWay(client: string): boolean {
    const mine = this.#clients.get(client)?.length ?? 0;
    const most = [...this.#clients.values()].reduce((a, b) => b.length > a.length ? b : a, []);
    if (most.length <= mine + 1) return false;
    const newest = most.pop()!;
    this.#waiting--;
    newest.fail(this.#full());
    return true;
  }

  #full(): SpecacheError {
    const sentence = `Cannot generate: ${this.#most} requests wait, as many as may`;
    const details = { waiting: this.#most, queue: this.#most };
    return new SpecacheError("busy", sentence, { details });
  }

  // Whether it need wait no longer: it has its room, or is refused.
  #admitted({ enter, fail, take }: Waiting<Room>): boolean {
    try {
      const room = take();
      if (room === null) return false;
      enter(room);
    } catch (error) {
      fail(error);
    }
    return true;
  }

  #next(): Waiting<Room> | undefined {
    for (const [first] of this.#clients.values()) return first;
  }

  // The client's turn is over: the others come before its next request.
  #leave(waiting: Waiting<Room>): void {
    const { client } = waiting;
    const rest = this.#clients.get(client)!.filter((other) => other !== waiting);
    this.#clients.delete(client);
    if (rest.length > 0) this.#clients.set(client, rest);
    this.#waiting--;
  }

  // Who gives up takes no turn from its client's others.
  #sweep(): void {
    for (const [client, all] of this.#clients) {
      const stay = all.filter((waiting) => !waiting.cancelled());
      for (const waiting of all) if (!stay.includes(waiting)) waiting.enter(null);
      this.#waiting -= all.length - stay.length;
      if (stay.length === 0) this.#clients.delete(client);
      else this.#clients.set(client, stay);
    }
  }
}
