// client.ts - the main thread's end of the worker: calls become promises, and every promise
// settles, also when the worker dies.

import { SpecacheError } from "./errors.ts";
import { type Answer, type Call, type Calls, errorOf, type RequestEvent } from "./messages.ts";
import type { WorkerFile } from "./worker.ts";
import { workerUrl } from "./worker_url.ts";

const FILE: WorkerFile = "./worker.ts";

interface Pending {
  readonly answer: (value: unknown) => void;
  readonly fail: (error: SpecacheError) => void;
  readonly event: (event: RequestEvent) => void;
}

/** A worker and the calls that wait for it. */
export class WorkerClient {
  #worker: Worker;
  #pending = new Map<number, Pending>();
  #calls = 0;
  #ended: SpecacheError | null = null;

  constructor() {
    this.#worker = new Worker(workerUrl(FILE, import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault(); // the error is the callers', not the process's
      this.end(new SpecacheError("internal", `Cannot go on in the worker: ${event.message}`));
    };
    this.#worker.onmessageerror = () => {
      this.end(
        new SpecacheError("internal", "Cannot go on in the worker: a message was unreadable"),
      );
    };
  }

  /** Makes a call; `event` takes what a request tells before its answer. */
  call<Name extends keyof Calls>(
    name: Name,
    ask: Calls[Name]["ask"],
    event: (event: RequestEvent) => void = () => {},
  ): Promise<Calls[Name]["answer"]> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const id = ++this.#calls;
    return new Promise((answer, fail) => {
      this.#pending.set(id, { answer: answer as (value: unknown) => void, fail, event });
      this.#worker.postMessage({ name, id, ask } as Call);
    });
  }

  /** Ends the worker; calls that wait, and later ones, fail with `reason`. */
  end(reason: SpecacheError): void {
    if (this.#ended !== null) return;
    this.#ended = reason;
    this.#worker.terminate();
    for (const { fail } of this.#pending.values()) fail(reason);
    this.#pending.clear();
  }

  #receive(message: Answer): void {
    const pending = this.#pending.get(message.id);
    if (pending === undefined) return;
    if (message.kind === "event") return pending.event(message.event);
    this.#pending.delete(message.id);
    if (message.kind === "error") pending.fail(errorOf(message.error));
    else pending.answer(message.answer);
  }
}
