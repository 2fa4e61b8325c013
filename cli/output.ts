// output.ts - what a person sees: sizes, and what goes on where there is a terminal.
import type { Readable } from "node:stream";

const units = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Bytes with a unit and three digits: 1536 is "1.50 KiB". */
export function bytesText(bytes: number): string {
  let unit = 0;
  let amount = bytes;
  while (amount >= 1000 && unit < units.length - 1) {
    amount /= 1024;
    unit++;
  }
  return unit === 0 ? `${bytes} B` : `${amount.toPrecision(3)} ${units[unit]}`;
}

/** Something that text is written to. */
export interface Terminal {
  readonly isTTY?: boolean;
  /** Width of a terminal; 0 or undefined: not known. */
  readonly columns?: number;
  write(text: string): unknown;
}

/** Where a command reads and writes; a process is one. */
export interface Streams {
  /** Default the process's. */
  readonly stdin?: Readable & { readonly isTTY?: boolean };
  readonly stdout: Terminal;
  readonly stderr: Terminal;
}

/** Text without what would steer a terminal: a model may write control sequences. */
export function harmless(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]/gu, "\ufffd");
}

/** A line that changes on a terminal; a log gets the last state of each. */
export class StatusLine {
  readonly #to: Terminal;
  #last = "";

  /** Nothing is written yet. */
  constructor(to: Terminal) {
    this.#to = to;
  }

  /** Replaces the line. */
  show(text: string): void {
    if (this.#to.isTTY) this.#to.write(`\r${text.padEnd(this.#last.length)}`);
    this.#last = text;
  }

  /** Ends the line, if there is one. */
  end(): void {
    if (this.#last !== "") this.#to.write(this.#to.isTTY ? "\n" : `${this.#last}\n`);
    this.#last = "";
  }
}

const width = 30; // characters of the bar

/** A bar that is drawn on a terminal and nowhere else. */
export function progressBar(label: string, to: Terminal): (done: number, of: number) => void {
  if (!to.isTTY) return () => {};
  return (done, of) => {
    const filled = Math.round(width * done / of);
    const bar = "#".repeat(filled).padEnd(width, ".");
    to.write(`\r${label} [${bar}] ${done}/${of}${done === of ? "\n" : ""}`);
  };
}
