// queue.ts - who generates, and who waits for a place, first come, first served.
import { SpecacheError } from "../engine/errors.ts";

interface Waiter {
  readonly enter: () => void;
  readonly fail: (error: SpecacheError) => void;
}

/** Places, and who waits for one. */
export class Queue {
  #free: number;
  #waiting: Waiter[] = [];
  #closed = false;

  /** As many requests as there are `places` run at a time. */
  constructor(places: number) {
    this.#free = places;
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /**
   * A place, as what gives it back; giving it back twice is fine. Who leaves by `signal` waits no
   * longer.
   *
   * @throws {SpecacheError} cancelled, closed
   */
  async take(signal: AbortSignal): Promise<() => void> {
    if (this.#closed) throw closing();
    if (signal.aborted) throw left();
    if (this.#free > 0) this.#free--;
    else await this.#wait(signal);
    let given = false;
    return () => {
      if (given) return;
      given = true;
      this.#give();
    };
  }

  /** Refuses who waits and who comes; who has a place keeps it. */
  close(): void {
    this.#closed = true;
    for (const { fail } of this.#waiting.splice(0)) fail(closing());
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((answer, reject) => {
      const leave = () => {
        this.#waiting = this.#waiting.filter((other) => other !== waiter);
        reject(left());
      };
      const waiter: Waiter = {
        enter() {
          signal.removeEventListener("abort", leave);
          answer();
        },
        fail(error) {
          signal.removeEventListener("abort", leave);
          reject(error);
        },
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#waiting.push(waiter);
    });
  }

  // A place goes from hand to hand, so that who comes now does not overtake.
  #give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next.enter();
  }
}

function closing(): SpecacheError {
  return new SpecacheError("closed", "Cannot answer: the server is closing");
}

function left(): SpecacheError {
  return new SpecacheError("cancelled", "Cannot answer: the client has left");
}
