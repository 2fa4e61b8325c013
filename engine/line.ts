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

// One of any kind of room.
interface Waiting extends Waiter<unknown> {
  /** It ran before: it is never refused, and no limit counts it. */
  readonly back: boolean;
  readonly enter: (room: unknown) => void;
  readonly fail: (error: unknown) => void;
}

/** Requests that wait. */
export class Line {
  readonly #most: number;
  readonly #idle: () => boolean;
  /** By client; the client whose turn it is comes first. */
  readonly #clients = new Map<string, Waiting[]>();
  /** Those that have not run before. */
  #new = 0;

  /** At most `most` wait; `idle` tells whether nobody runs. */
  constructor(most: number, idle: () => boolean = () => false) {
    this.#most = most;
    this.#idle = idle;
  }

  /** Requests that wait. */
  get waiting(): number {
    return [...this.#clients.values()].reduce((sum, all) => sum + all.length, 0);
  }

  /**
   * Its room, once it is its turn; null: it was given up. Where as many wait as may, the newest of
   * the client that waits most often is refused: this one, or one that makes way for it.
   *
   * @throws {SpecacheError} busy: as many wait as may; what `take` throws
   */
  enter<Room>(waiter: Waiter<Room>): Promise<Room | null> {
    const { promise, resolve, reject } = Promise.withResolvers<Room | null>();
    const waiting = { ...waiter, back: false, enter: resolve as Waiting["enter"], fail: reject };
    if (waiter.cancelled()) return Promise.resolve(null);
    this.#sweep();
    if (this.#clients.size === 0 && this.#admitted(waiting)) return promise;
    const { client } = waiter;
    if (this.#new >= this.#most && !this.#makeWay(client)) return Promise.reject(this.#full());
    const others = this.#clients.get(client);
    if (others === undefined) this.#clients.set(client, [waiting]);
    else others.push(waiting);
    this.#new++;
    return promise;
  }

  /**
   * As `enter`, for one that ran and was set back: it is the next of its client's. Of a client's
   * that run the youngest is set back first, so those that wait keep their order.
   */
  enterAgain<Room>(waiter: Waiter<Room>): Promise<Room | null> {
    const { promise, resolve, reject } = Promise.withResolvers<Room | null>();
    const waiting = { ...waiter, back: true, enter: resolve as Waiting["enter"], fail: reject };
    const others = this.#clients.get(waiter.client);
    if (others === undefined) this.#clients.set(waiter.client, [waiting]);
    else others.unshift(waiting);
    return promise;
  }

  /** Lets in who has room now: to be called where some was given back, or somebody gave up. */
  admit(): void {
    this.#sweep();
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      if (!this.#admitted(next)) return this.#admitAgain();
      this.#leave(next);
    }
  }

  // Where nobody runs, the next may wait for what those hold that were set back: one goes on.
  #admitAgain(): void {
    for (const [first] of this.#clients.values()) {
      if (!this.#idle()) return;
      if (first.back && this.#admitted(first)) this.#leave(first);
    }
  }

  // Whether the newest of a client that has more in the line, with this one counted, made way.
  #makeWay(client: string): boolean {
    const newOf = (all: readonly Waiting[] = []) => all.filter(({ back }) => !back).length;
    const mine = newOf(this.#clients.get(client));
    const all = [...this.#clients.values()];
    const most = all.reduce((a, b) => newOf(b) > newOf(a) ? b : a, []);
    if (newOf(most) <= mine + 1) return false;
    const newest = most.pop()!; // who was set back comes before the new ones
    this.#new--;
    newest.fail(this.#full());
    return true;
  }

  #full(): SpecacheError {
    const sentence = `Cannot generate: ${this.#most} requests wait, as many as may`;
    const details = { waiting: this.#most, queue: this.#most };
    return new SpecacheError("busy", sentence, { details });
  }

  // Whether it need wait no longer: it has its room, or is refused.
  #admitted({ enter, fail, take }: Waiting): boolean {
    try {
      const room = take();
      if (room === null) return false;
      enter(room);
    } catch (error) {
      fail(error);
    }
    return true;
  }

  #next(): Waiting | undefined {
    for (const [first] of this.#clients.values()) return first;
  }

  // The client's turn is over: the others come before its next request.
  #leave(waiting: Waiting): void {
    const { client, back } = waiting;
    const rest = this.#clients.get(client)!.filter((other) => other !== waiting);
    this.#clients.delete(client);
    if (rest.length > 0) this.#clients.set(client, rest);
    if (!back) this.#new--;
  }

  // Who gives up takes no turn from its client's others.
  #sweep(): void {
    for (const [client, all] of this.#clients) {
      const stay = all.filter((waiting) => !waiting.cancelled());
      for (const waiting of all) {
        if (stay.includes(waiting)) continue;
        waiting.enter(null);
        if (!waiting.back) this.#new--;
      }
      if (stay.length === 0) this.#clients.delete(client);
      else this.#clients.set(client, stay);
    }
  }
}
