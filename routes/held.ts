// held.ts - what clients hold open on the server between requests: sessions and stores. Each has an
// id that nobody can guess, belongs to the tenant that made it, and is closed when it was idle for
// long, so that its memory comes back from who forgot it, and when it makes way for another's.
import { clearTimeout, setTimeout } from "node:timers"; // have unref() in every runtime
import { SpecacheError } from "../engine/errors.ts";
import { RequestError } from "./errors.ts";

/** Seconds that something may be idle, where the options do not tell. */
export const IDLE_SECONDS = 3600;

/** Seconds for which what was used makes no way for others: its client may be between requests. */
const REST_SECONDS = 1;

/** Something that is held open. */
export interface Entry<T> {
  readonly id: string;
  /** Whose it is. */
  readonly tenant: string;
  readonly item: T;
  /** Seconds since 1970. */
  readonly created: number;
  /** Seconds since 1970 at which it is closed if nobody uses it. */
  readonly expires: number;
  /** Whether a request works with it. */
  readonly busy: boolean;
  /** When it was used last, as Part of share.ts has it. */
  readonly rested: number | null;
}

/** What a table needs. */
export interface HeldOptions {
  /** As sentences name it: session, store. */
  readonly what: string;
  /** Seconds that one may be idle. */
  readonly idleSeconds: number;
  /** Once aborted, all are closed: those at work when they have ended. */
  readonly closing?: AbortSignal;
  /** Told of what fails where nobody waits for it. */
  readonly report: (error: unknown) => void;
}

class Holding<T> implements Entry<T> {
  readonly id = crypto.randomUUID();
  readonly created = Math.floor(Date.now() / 1000);
  busy = false;
  /** Seconds of a clock that is never set. */
  used = seconds();
  /** Ends the request that works with it. */
  stop: AbortController | null = null;
  /** Settles when the request that works with it has ended. */
  ended = Promise.withResolvers<void>();

  constructor(
    readonly tenant: string,
    readonly item: T,
    readonly idleSeconds: number,
    readonly close: () => void | Promise<void>,
  ) {}

  /** Seconds that it may still be idle. */
  get left(): number {
    return this.used + this.idleSeconds - seconds();
  }

  get rested(): number | null {
    return this.busy || seconds() - this.used < REST_SECONDS ? null : this.used;
  }

  get expires(): number {
    return Math.floor(Date.now() / 1000 + this.left);
  }
}

/** What is open, by id. */
export class Held<T> {
  readonly #options: HeldOptions;
  readonly #held = new Map<string, Holding<T>>();
  #timer: ReturnType<typeof setTimeout> | null = null;

  /** Nothing is open. */
  constructor(options: HeldOptions) {
    this.#options = options;
    options.closing?.addEventListener("abort", () => this.#closeIdle(true), { once: true });
  }

  /** All that are open, whoever's. */
  get all(): Entry<T>[] {
    return [...this.#held.values()];
  }

  /** Refuses what comes while the server is closing. */
  checkOpen(): void {
    if (!this.#options.closing?.aborted) return;
    throw new SpecacheError("closed", "Cannot answer: the server is closing");
  }

  /** Holds `item` for a tenant; `close` gives its memory back. */
  add(tenant: string, item: T, close: () => void | Promise<void>): Entry<T> {
    const holding = new Holding(tenant, item, this.#options.idleSeconds, close);
    this.#held.set(holding.id, holding);
    if (this.#options.closing?.aborted) this.#closeIdle(true);
    this.#wake();
    return holding;
  }

  /** Those of a tenant, oldest first. */
  of(tenant: string): Entry<T>[] {
    return this.all.filter((each) => each.tenant === tenant);
  }

  /** Whether it is still open. */
  has({ id }: Entry<T>): boolean {
    return this.#held.has(id);
  }

  /**
   * One of a tenant's.
   *
   * @throws {RequestError} 404, another tenant's too
   */
  get(tenant: string, id: string): Entry<T> {
    return this.#get(tenant, id);
  }

  /**
   * One of a tenant's, for a request alone until `leave`; `stop` ends the request.
   *
   * @throws {RequestError} 404; 409: another request works with it
   */
  enter(tenant: string, id: string, stop: AbortController | null = null): Entry<T> {
    const holding = this.#get(tenant, id);
    if (holding.busy) {
      const sentence =
        `Cannot answer: ${this.#options.what} ${holding.id} is at work for another ` +
        "request";
      throw new RequestError(409, "busy", sentence, "id", { "Retry-After": "1" });
    }
    holding.busy = true;
    holding.used = seconds();
    holding.stop = stop;
    holding.ended = Promise.withResolvers();
    return holding;
  }

  /** Ends what `enter` began. */
  leave(entry: Entry<T>): void {
    const holding = entry as Holding<T>;
    holding.busy = false;
    holding.used = seconds();
    holding.stop = null;
    holding.ended.resolve();
    if (this.#options.closing?.aborted) this.#closeIdle(true);
  }

  /** Runs `body` between `enter` and `leave`. */
  async use<R>(
    tenant: string,
    id: string,
    body: (item: T, entry: Entry<T>) => R | Promise<R>,
    stop: AbortController | null = null,
  ): Promise<R> {
    const entry = this.enter(tenant, id, stop);
    try {
      return await body(entry.item, entry);
    } finally {
      this.leave(entry);
    }
  }

  /** Closes what makes way for another; settles when its memory is free. */
  async evict(entry: Entry<T>): Promise<void> {
    this.#held.delete(entry.id);
    await this.#closeLater(entry as Holding<T>);
  }

  /** Closes one of a tenant's; a request that works with it is ended first. */
  async remove(tenant: string, id: string): Promise<void> {
    const holding = this.#get(tenant, id);
    this.#held.delete(id);
    if (holding.busy) {
      holding.stop?.abort();
      await holding.ended.promise;
    }
    await holding.close();
  }

  // Whoever asks for what is not theirs hears what they would of an id that never was.
  #get(tenant: string, id: string): Holding<T> {
    const holding = this.#held.get(id);
    if (holding?.tenant === tenant) return holding;
    const shown = id.slice(0, 60).replaceAll(/[^!-~]/g, "?"); // what a path may say
    const sentence = `Cannot answer: ${this.#options.what} ${shown} is not known`;
    throw new RequestError(404, `${this.#options.what}_not_found`, sentence, "id");
  }

  #closeIdle(all: boolean): void {
    for (const holding of [...this.#held.values()]) {
      if (holding.busy || !all && holding.left > 0) continue;
      this.#held.delete(holding.id);
      this.#closeLater(holding);
    }
    if (this.#held.size > 0 || this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #closeLater({ close }: Holding<T>): Promise<void> {
    try {
      await close();
    } catch (error) {
      this.#options.report(error);
    }
  }

  // One timer for all, set while something is open. It keeps no program from ending.
  #wake(): void {
    if (this.#timer !== null || this.#held.size === 0) return;
    const first = Math.min(...[...this.#held.values()].map(({ left }) => left));
    const milliseconds = Math.min(Math.max(10, first * 1000), 2 ** 31 - 1);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#closeIdle(false);
      this.#wake();
    }, milliseconds);
    this.#timer.unref?.();
  }
}

function seconds(): number {
  return performance.now() / 1000;
}
