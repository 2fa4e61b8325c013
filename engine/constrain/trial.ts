// trial.ts - whether a schema can be compiled, found out in a thread that is thrown away: what
// breaks the library, or keeps it busy, breaks nothing else and is cut short. Two are tried at a
// time, clients in turn. A schema that passes is compiled again where it is used, in about the same
// time.
import { SpecacheError } from "../errors.ts";
import { Line } from "../line.ts";
import { workerUrl } from "../worker_url.ts";
import type { Format } from "./format.ts";
import type { Vocabulary } from "./grammar.ts";
import type { TrialAsk, TrialFile, TrialWord } from "./trial_worker.ts";

const FILE: TrialFile = "./trial_worker.ts";

/** Milliseconds that a schema may take; most take hundredths of it. */
export const COMPILE_MS_MAX = 5000;

const PASSED_MAX = 256; // schemas that are known to pass
const THREADS = 2; // each holds a library of its own

/** Trials of one model's schemas. */
export class Trials {
  readonly #vocabulary: () => Vocabulary;
  readonly #limitMs: number;
  readonly #passed = new Set<string>(); // the oldest first
  readonly #tried = new Map<string, Promise<void>>(); // those that wait for their trial's end
  readonly #line = new Line(Infinity);
  #threads = 0;

  /** `vocabulary` is asked for when there is a trial. */
  constructor(vocabulary: () => Vocabulary, limitMs: number = COMPILE_MS_MAX) {
    this.#vocabulary = vocabulary;
    this.#limitMs = limitMs;
  }

  /**
   * Settles when a format that a client asks for is known to compile.
   *
   * @throws {SpecacheError} argument: it takes too long; unsupported: the library fails
   */
  async judge(format: Format, client = ""): Promise<void> {
    if (format === "json") return;
    const key = JSON.stringify(format);
    if (this.#passed.has(key)) return;
    let trial = this.#tried.get(key);
    if (trial === undefined) {
      trial = this.#judge(key, format, client).finally(() => this.#tried.delete(key));
      this.#tried.set(key, trial);
    }
    await trial;
  }

  async #judge(key: string, format: Format, client: string): Promise<void> {
    await this.#line.enter({ client, cancelled: () => false, take: () => this.#takeThread() });
    try {
      await this.#try(key, format);
    } finally {
      this.#threads--;
      this.#line.admit();
    }
  }

  #takeThread(): true | null {
    if (this.#threads === THREADS) return null;
    this.#threads++;
    return true;
  }

  async #try(key: string, format: Format): Promise<void> {
    const word = await tried({ ...this.#vocabulary(), format }, this.#limitMs);
    if (word === "failed") throw refused("unsupported", "cannot be compiled");
    if (word === "late") {
      throw refused("argument", `takes above ${this.#limitMs} ms to be compiled`);
    }
    this.#passed.add(key);
    const [oldest] = this.#passed;
    if (this.#passed.size > PASSED_MAX) this.#passed.delete(oldest);
  }
}

async function tried(ask: TrialAsk, limitMs: number): Promise<"passed" | "failed" | "late"> {
  const worker = new Worker(workerUrl(FILE, import.meta.url), { type: "module" });
  const word = Promise.withResolvers<"passed" | "failed" | "late">();
  let timer: ReturnType<typeof setTimeout> | undefined;
  worker.onmessage = ({ data }: MessageEvent<TrialWord>) => {
    if (data !== "ready") word.resolve(data);
    else timer = setTimeout(() => word.resolve("late"), limitMs);
  };
  worker.onerror = (event) => {
    event.preventDefault(); // the error is the caller's, not the process's
    word.resolve("failed");
  };
  worker.postMessage(ask);
  try {
    return await word.promise;
  } finally {
    clearTimeout(timer);
    worker.terminate();
  }
}

function refused(code: "argument" | "unsupported", why: string): SpecacheError {
  return new SpecacheError(code, `Cannot generate: the schema of the format ${why}`, {
    details: { name: "format" },
  });
}
