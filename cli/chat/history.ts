// history.ts - lines typed before, in a file of the cache folder that its user alone can read.
import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { refusedAs } from "../../engine/system.ts";
import { cacheHome } from "../../ffi/home.ts";

/** Lines that are kept. */
export const HISTORY_LINES = 1000;
const PRIVATE = { mode: 0o600 };

/** The file of lines typed before. */
export function historyPath(): string {
  return join(cacheHome(), "chat_history");
}

/** Lines typed before; a file that cannot be used is said once and gone without. */
export class History {
  readonly #path: string;
  readonly #notice: (sentence: string) => void;
  #last = "";
  #broken = false;

  /** Reads nothing yet. */
  constructor(path: string, notice: (sentence: string) => void) {
    this.#path = path;
    this.#notice = notice;
  }

  /** The lines, the newest first, as node:readline wants them. */
  load(): string[] {
    const lines = this.#attempt(() => this.#read()) ?? [];
    this.#last = lines.at(-1) ?? "";
    return lines.toReversed();
  }

  /** Adds a line, where it is not that before it again. */
  add(line: string): void {
    if (line.trim() === "" || line === this.#last) return;
    this.#last = line;
    this.#attempt(() => {
      mkdirSync(dirname(this.#path), { recursive: true });
      appendFileSync(this.#path, `${line}\n`, PRIVATE);
    });
  }

  // Only what is twice too long is written anew: another chat may be adding a line just now.
  #read(): string[] {
    const lines = readIfThere(this.#path).split("\n").filter((line) => line !== "");
    const kept = lines.slice(-HISTORY_LINES);
    if (lines.length > 2 * HISTORY_LINES) {
      const beside = `${this.#path}.new`;
      writeFileSync(beside, kept.map((line) => `${line}\n`).join(""), PRIVATE);
      renameSync(beside, this.#path);
    }
    return kept;
  }

  #attempt<Result>(call: () => Result): Result | undefined {
    if (this.#broken) return undefined;
    try {
      return call();
    } catch (error) {
      this.#broken = true;
      this.#notice(`No history: ${this.#path} ${refusedAs(error, "written")}`);
    }
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
