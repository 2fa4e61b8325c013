// console.ts - where a person types: lines with a prompt, and Ctrl-C. What is typed while nobody
// asks for a line is kept, unseen, for the next.
import process from "node:process";
import { createInterface, type Interface } from "node:readline";
import { type Readable, Writable } from "node:stream";
import type { Streams, Terminal } from "../output.ts";
import { type History, HISTORY_LINES } from "./history.ts";

/** What a person did. */
export type Heard =
  | { readonly kind: "line"; readonly text: string }
  /** Ctrl-C; `empty` where it stood on a line without text. */
  | { readonly kind: "interrupt"; readonly empty: boolean }
  | { readonly kind: "end" };

/** What is at work and can be interrupted. */
export interface Work extends Disposable {
  readonly signal: AbortSignal;
}

const COLUMNS = 80; // of a terminal that does not say

/** Lines from standard input. On a terminal they can be edited and have a history. */
export class Console implements Disposable {
  /** Whether a person types, and sees what they type. */
  readonly interactive: boolean;
  readonly #stderr: Terminal;
  readonly #lines: Interface;
  readonly #queue: string[] = [];
  readonly #interrupt = () => this.#onInterrupt();
  #waiting: ((heard: Heard) => void) | null = null;
  #work: AbortController | null = null;
  #ended = false;

  /** Listens from now on. */
  constructor({ stdin = process.stdin, stderr }: Streams, history: History | null) {
    this.#stderr = stderr;
    this.interactive = isInteractive({ stdin, stderr });
    this.#lines = createInterface({
      input: stdin as Readable,
      ...this.interactive ? this.#editing(history) : {},
      terminal: this.interactive,
      crlfDelay: Infinity,
    });
    this.#lines.on("line", (text) => {
      if (this.interactive) history?.add(text);
      if (!this.#answer({ kind: "line", text })) this.#queue.push(text);
    });
    this.#lines.on("close", () => {
      this.#ended = true;
      this.#answer({ kind: "end" });
    });
    this.#lines.on("SIGINT", this.#interrupt); // a terminal in raw mode sends no signal
    process.on("SIGINT", this.#interrupt);
  }

  /** The next line; `prompt` is what a person sees before it. */
  next(prompt: string): Promise<Heard> {
    const text = this.#queue.shift();
    if (text !== undefined) {
      if (this.interactive) this.#stderr.write(`${prompt}${text}\n`);
      return Promise.resolve({ kind: "line", text });
    }
    if (this.#ended) return Promise.resolve({ kind: "end" });
    const { promise, resolve } = Promise.withResolvers<Heard>();
    this.#waiting = resolve;
    if (this.interactive) {
      this.#lines.setPrompt(prompt);
      this.#lines.prompt(true); // keeps what was typed so far
    }
    return promise;
  }

  /** Ctrl-C aborts the work's signal until it is disposed. */
  work(): Work {
    const controller = new AbortController();
    this.#work = controller;
    return { signal: controller.signal, [Symbol.dispose]: () => void (this.#work = null) };
  }

  /** Gives the terminal back. */
  [Symbol.dispose](): void {
    process.off("SIGINT", this.#interrupt);
    this.#lines.close();
  }

  #editing(history: History | null) {
    const output = new Writable({
      write: (chunk, _encoding, done) => {
        if (this.#waiting !== null) this.#stderr.write(String(chunk));
        done();
      },
    });
    const columns = () => this.#stderr.columns || COLUMNS;
    Object.defineProperty(output, "columns", { get: columns });
    return {
      output,
      history: history?.load() ?? [],
      historySize: HISTORY_LINES,
      removeHistoryDuplicates: true,
    };
  }

  #answer(heard: Heard): boolean {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.(heard);
    return waiting !== null;
  }

  #onInterrupt(): void {
    if (this.#work !== null) {
      if (this.interactive) this.#queue.length = 0; // what was typed ahead was meant for its end
      return this.#work.abort();
    }
    const empty = !this.interactive || this.#lines.line === "";
    if (this.interactive) {
      if (this.#waiting !== null) this.#stderr.write("^C\n");
      const waiting = this.#waiting;
      this.#waiting = null; // what clearing the line would draw is not to be seen
      this.#lines.write(null, { ctrl: true, name: "e" });
      this.#lines.write(null, { ctrl: true, name: "u" });
      this.#waiting = waiting;
    }
    this.#answer({ kind: "interrupt", empty });
  }
}

/** Whether a person types and sees it. */
export function isInteractive(
  { stdin = process.stdin, stderr }: Pick<Streams, "stdin" | "stderr">,
) {
  return stdin.isTTY === true && stderr.isTTY === true;
}
