// json_end.ts - where a JSON object or list ends in a text that comes in pieces.

/** Looks for the end of one value; each character is looked at once. */
export class JsonEnd {
  #begun = false;
  #depth = 0;
  #inText = false;
  #escaped = false;

  /**
   * Characters of `piece`, by which the text goes on, that still belong to the value; 0: there is
   * none, for the text begins otherwise; null: all do, and the value has not ended yet.
   */
  find(piece: string): number | null {
    if (piece === "") return null;
    if (!this.#begun && piece[0] !== "{" && piece[0] !== "[") return 0;
    this.#begun = true;
    for (let at = 0; at < piece.length; at++) {
      const character = piece[at];
      if (this.#inText) this.#read(character);
      else if (character === '"') this.#inText = true;
      else if (character === "{" || character === "[") this.#depth++;
      else if ((character === "}" || character === "]") && --this.#depth === 0) return at + 1;
    }
    return null;
  }

  #read(character: string): void {
    if (this.#escaped) this.#escaped = false;
    else if (character === "\\") this.#escaped = true;
    else if (character === '"') this.#inText = false;
  }
}
