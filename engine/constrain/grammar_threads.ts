// grammar_threads.ts - grammars of one model's formats, each compiled in a thread of its own, where
// its texts are then asked about: what breaks the library, or keeps it busy, breaks and keeps
// nothing else. Two are compiled at a time, clients in turn.
import { SpecacheError } from "../errors.ts";
import { Line } from "../line.ts";
import { workerUrl } from "../worker_url.ts";
import type { Format } from "./format.ts";
import type { Vocabulary } from "./grammar.ts";
import type { GrammarAsk, GrammarFile, GrammarWord } from "./grammar_worker.ts";
import { Mailbox } from "./mailbox.ts";

const FILE: GrammarFile = "./grammar_worker.ts";

/** Milliseconds that a format may take to be compiled; most take hundredths of it. */
export const COMPILE_MS_MAX = 5000;
/** Formats that texts are held to at a time, with those kept; each has a library of its own. */
export const FORMATS_MAX = 8;

const COMPILING_MAX = 2; // each keeps a core from those who decode

/** A format that a text may be held to until it is let go of. */
export interface HeldFormat {
  /** Of the Mailbox where the text is asked about. */
  readonly memory: SharedArrayBuffer;
  /** No text is held to it any more; once. */
  release(): void;
}

/** Grammars of one model. */
export class GrammarThreads {
  readonly #vocabulary: () => Vocabulary;
  readonly #limitMs: number;
  readonly #threads = new Map<string, GrammarThread>(); // the one that was asked for last is last
  readonly #line = new Line(Infinity);
  #closed = false;

  /** `vocabulary` is asked for when there is something to compile. */
  constructor(vocabulary: () => Vocabulary, limitMs: number = COMPILE_MS_MAX) {
    this.#vocabulary = vocabulary;
    this.#limitMs = limitMs;
  }

  /**
   * A format that a client asks for, once it is compiled; it must be released.
   *
   * @throws {SpecacheError} argument: it takes too long; unsupported: the library fails; closed
   */
  hold(format: Format, client?: string): Promise<HeldFormat>;
  /** As above; null: it was given up before its turn. */
  hold(format: Format, client: string, cancelled: () => boolean): Promise<HeldFormat | null>;
  async hold(
    format: Format,
    client = "",
    cancelled: () => boolean = () => false,
  ): Promise<HeldFormat | null> {
    const key = JSON.stringify(format);
    const known = this.#isStarved() ? null : this.#known(key);
    const take = () => this.#known(key) ?? this.#start(key, format);
    const thread = known ?? await this.#line.enter({ client, cancelled, take });
    if (thread === null) return null;
    try {
      await thread.compiled;
    } catch (error) {
      this.#release(key, thread);
      throw error;
    }
    return { memory: thread.mailbox.memory, release: () => this.#release(key, thread) };
  }

  /** Somebody who waits has given up. */
  gaveUp(): void {
    this.#line.admit();
  }

  /** Ends all; who waits is refused. Twice is fine. */
  close(): void {
    this.#closed = true;
    for (const [key, thread] of this.#threads) this.#end(key, thread);
    this.#line.admit();
  }

  // Whether somebody waits for a thread to be let go of: then who comes waits behind them, or it
  // might be asked for again for ever.
  #isStarved(): boolean {
    return this.#line.waiting > 0 && this.#threads.size === FORMATS_MAX && this.#idle() === null;
  }

  #known(key: string): GrammarThread | null {
    const thread = this.#threads.get(key);
    if (thread === undefined || thread.mailbox.ended) return null;
    this.#threads.delete(key);
    this.#threads.set(key, thread);
    thread.held++;
    return thread;
  }

  #start(key: string, format: Format): GrammarThread | null {
    if (this.#closed) throw closed();
    const compiling = [...this.#threads.values()].filter((thread) => thread.compiling).length;
    if (compiling === COMPILING_MAX) return null;
    if (this.#threads.size === FORMATS_MAX && !this.#threads.has(key)) {
      const idle = this.#idle();
      if (idle === null) return null;
      this.#end(...idle);
    }
    const thread = new GrammarThread({ ...this.#vocabulary(), format, limitMs: this.#limitMs });
    this.#threads.set(key, thread);
    thread.held++;
    const admit = () => this.#line.admit();
    thread.compiled.catch(() => this.#end(key, thread)).then(admit);
    return thread;
  }

  // The one that nobody has asked for for longest.
  #idle(): [key: string, thread: GrammarThread] | null {
    return [...this.#threads].find(([, { held }]) => held === 0) ?? null;
  }

  #release(key: string, thread: GrammarThread): void {
    thread.held--;
    if (thread.held === 0 && thread.mailbox.ended) this.#end(key, thread);
    this.#line.admit();
  }

  #end(key: string, thread: GrammarThread): void {
    thread.end(closed());
    if (this.#threads.get(key) === thread) this.#threads.delete(key);
  }
}

/** The thread of one format. */
class GrammarThread {
  readonly mailbox: Mailbox;
  /** Settles when texts can be asked about. */
  readonly compiled: Promise<void>;
  /** Texts that are held to it, or will be. */
  held = 0;
  compiling = true;
  readonly #worker = new Worker(workerUrl(FILE, import.meta.url), { type: "module" });
  readonly #fail: (reason: SpecacheError) => void;

  constructor(ask: Omit<GrammarAsk, "memory">) {
    const { limitMs } = ask;
    this.mailbox = new Mailbox(ask.tokens.length);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = () => reject(refused("argument", `takes above ${limitMs} ms to be compiled`));
    this.compiled = promise.finally(() => {
      clearTimeout(timer);
      this.compiling = false;
    });
    this.#fail = reject;
    const failed = () => {
      this.mailbox.end();
      reject(refused("unsupported", "cannot be compiled"));
    };
    this.#worker.onmessage = ({ data }: MessageEvent<GrammarWord>) => {
      if (data === "loaded") timer = setTimeout(late, limitMs);
      else if (data === "compiled") resolve();
      else if (data === "late") late();
      else failed();
    };
    this.#worker.onerror = (event) => {
      event.preventDefault(); // the error is the caller's, not the process's
      failed();
    };
    this.#worker.postMessage({ ...ask, memory: this.mailbox.memory } satisfies GrammarAsk);
  }

  /** Who waits for it is refused; twice is fine. */
  end(reason: SpecacheError): void {
    // Deno ends no thread that sleeps as one that serves does, nor a busy one: ended_after.ts.
    this.mailbox.end();
    this.#worker.terminate();
    this.#fail(reason);
  }
}

function closed(): SpecacheError {
  return new SpecacheError("closed", "Cannot use the engine: it is closed");
}

function refused(code: "argument" | "unsupported", why: string): SpecacheError {
  return new SpecacheError(code, `Cannot generate: the schema of the format ${why}`, {
    details: { name: "format" },
  });
}
