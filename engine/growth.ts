// growth.ts - requests that take pages as their texts grow. Where there are none, the youngest
// request of the client that runs most is set back: it keeps its text, gives up pages from its end
// as others take them, and waits first of its client's. When its turn comes it has its sequence
// again as it was (regain.ts), and goes on. The oldest is never set back.
import type { Line } from "./line.ts";
import { PAGE_TOKENS } from "./prefixes.ts";
import type { Room, Taken } from "./room.ts";
import type { Scheduler } from "./scheduler.ts";

/** A request that may be set back. */
export interface Grower extends Taken {
  /** Who asks. */
  readonly client: string;
  /** Whether it was given up. */
  cancelled(): boolean;
}

/** Gives pages to requests that run. */
export class Growth<Held extends Grower> {
  readonly #room: Room<Held>;
  readonly #line: Line;
  readonly #scheduler: Scheduler;
  #setBack = 0;

  /** Those that run are the room's. */
  constructor(room: Room<Held>, line: Line, scheduler: Scheduler) {
    this.#room = room;
    this.#line = line;
    this.#scheduler = scheduler;
  }

  /** How often requests were set back. */
  get count(): number {
    return this.#setBack;
  }

  /** Whether one that runs may come to so many tokens now. */
  mayHold(held: Held, tokens: number): boolean {
    if (tokens <= held.tokens || !held.grows) return true;
    const wanted = Math.min(held.most, Math.ceil(tokens / PAGE_TOKENS) * PAGE_TOKENS);
    while (!this.#room.grow(held, wanted)) {
      const youngest = this.#youngest();
      if (youngest === null) {
        held.lacks = true; // until one that has all its pages ends, or has had its verdict
        return false;
      }
      this.#wait(youngest);
      if (youngest === held) return false;
    }
    if (held.lacks) queueMicrotask(() => this.#line.admit()); // none was let in before it
    held.lacks = false;
    return true;
  }

  // Who is set back next; null: nobody, or not now.
  #youngest(): Held | null {
    const running = [...this.#room.taken].filter(({ place, back }) => place && !back);
    const [, ...others] = running.filter(({ grows }) => grows);
    const count = (client: string) => running.filter((each) => each.client === client).length;
    let next: Held | null = null;
    for (const other of others) {
      if (next === null || count(other.client) >= count(next.client)) next = other;
    }
    return next !== null && this.#scheduler.canSetBack(next.state) ? next : null;
  }

  #wait(held: Held): void {
    this.#setBack++;
    this.#scheduler.setBack(held.state);
    held.back = true;
    held.lacks = false;
    held.lead *= 2; // so it is set back a few times at most, however long it becomes
    const { client, state } = held;
    const cancelled = () => held.cancelled();
    this.#line.enterAgain({ client, cancelled, take: () => this.#room.takeAgain(held) }).then(
      () => this.#scheduler.goOn(state),
      (error) => this.#scheduler.fail(state, error),
    );
  }
}
