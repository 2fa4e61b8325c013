// json_end.ts - where a JSON object or list ends in a text that grows.

/** Looks for the end of one value; what was looked at is not looked at again. */
export class JsonEnd {
  #at = 0;
  #depth = 0;
  #inText = false;
  #escaped = false;

  /**
   * Characters of the value that `text`, which begins with what it was before, begins with; 0: it
   * begins with none; null: it has not ended yet.
   */
  find(text: string): number | null {
    if (text !== "" && text[0] !== "{" && text[0] !== "[") return 0;
    for (; this.#at < text.length; this.#at++) {
      const character = text[this.#at];
      if (this.#inText) this.#read(character);
      else if (character === '"') this.#inText = true;
      else if (character === "{" || character === "[") this.#depth++;
      else if ((character === "}" || character === "]") && --this.#depth === 0) {
        return this.#at + 1;
      }
    }
    return null;
  }

  #read(character: string): void {
    if (this.#escaped) this.#escaped = false;
    else if (character === "\\") this.#escaped = true;
    else if (character === '"') this.#inText = false;
  }
}
