// turns.ts - a turn out of the lines that a person types: one line, several where each but the last
// ends with a backslash, or a block between """ and """.

const FENCE = '"""';

/** Lines of the turn that is being typed. */
export class TurnReader {
  #lines: string[] = [];
  #inBlock = false;

  /** Whether a turn has begun that is not complete. */
  get open(): boolean {
    return this.#inBlock || this.#lines.length > 0;
  }

  /** Takes a line; answers the turn that it completes, else null. */
  push(line: string): Turn | null {
    if (!this.open && line.startsWith(FENCE)) {
      this.#inBlock = true;
      line = line.slice(FENCE.length);
      if (line === "") return null; // the text begins on the next line
    }
    if (this.#inBlock) return this.#pushInBlock(line);
    if (line.endsWith("\\")) {
      this.#lines.push(line.slice(0, -1));
      return null;
    }
    const command = !this.open && line.startsWith("/");
    return this.#complete([line], command);
  }

  /** The turn that the end of the input leaves, or null. */
  end(): Turn | null {
    return this.open ? this.#complete([]) : null;
  }

  /** Forgets what was typed. */
  clear(): void {
    this.#lines = [];
    this.#inBlock = false;
  }

  #pushInBlock(line: string): Turn | null {
    if (!line.endsWith(FENCE)) {
      this.#lines.push(line);
      return null;
    }
    const last = line.slice(0, -FENCE.length);
    return this.#complete(last === "" ? [] : [last]);
  }

  #complete(last: readonly string[], command = false): Turn {
    const text = [...this.#lines, ...last].join("\n");
    this.clear();
    return { text, command };
  }
}

/** What a person said. */
export interface Turn {
  readonly text: string;
  /** Whether it is a slash command; what stands in a block or on several lines is none. */
  readonly command: boolean;
}
