// joining.ts - answers that join a request which runs. It was let in as a whole: where the queue is
// full they wait outside of it, and the request is not refused in the middle of its answer.
import { begin, type Generates } from "./begin.ts";
import type { ServedGeneration } from "./engine.ts";
import { statusOf } from "./errors.ts";

type Options = Parameters<typeof begin>[1];

const AGAIN_MS = 200; // until the queue, which may be another host's, is asked again

/** Answers of one request, after its first. */
export class Joining {
  readonly #engine: Generates;
  #last: Promise<unknown> = Promise.resolve();

  /** None has joined yet. */
  constructor(engine: Generates) {
    this.#engine = engine;
  }

  /** As begin, but that a full queue is waited for; one of the request's answers at a time asks. */
  async begin(options: Options): Promise<ServedGeneration> {
    try {
      return await begin(this.#engine, options);
    } catch (error) {
      if (statusOf(error) !== 429) throw error;
    }
    const begun = this.#last.then(() => this.#again(options));
    this.#last = begun.catch(() => {});
    return await begun;
  }

  async #again(options: Options): Promise<ServedGeneration> {
    for (;;) {
      await pause(options.signal);
      try {
        return await begin(this.#engine, options);
      } catch (error) {
        if (statusOf(error) !== 429 || options.signal.aborted) throw error;
      }
    }
  }
}

// A moment, or less where the client leaves: then nothing begins any more.
function pause(signal: AbortSignal): Promise<void> {
  return new Promise((answer) => {
    const timer = setTimeout(end, signal.aborted ? 0 : AGAIN_MS);
    signal.addEventListener("abort", end, { once: true });
    function end() {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      answer();
    }
  });
}
