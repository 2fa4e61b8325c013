// stop.ts - stop strings: a text ends before the first of them. They may span tokens, so pieces are
// held back while the end of their text may be the beginning of a stop string.

/** What is held back: anything with the text of a token. */
interface Held {
  readonly text: string;
}

/** Pieces on their way to a reader, up to the first stop string. */
export class StopFilter<Piece extends Held> {
  readonly #stops: readonly string[];
  #held: Piece[] = [];
  #stopped = false;

  /** `stops` are not empty; without any nothing is held back. */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** Whether a stop string has come. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Takes the next piece; answers those that no stop string can reach any more. */
  push(piece: Piece): Piece[] {
    this.#held.push(piece);
    const text = this.#held.map(({ text }) => text).join("");
    const stop = firstStop(text, this.#stops);
    if (stop !== null) {
      this.#stopped = true;
      return cut(this.end(), stop);
    }
    let open = text.length - openEnd(text, this.#stops); // text before it is decided
    let decided = 0;
    for (const { text } of this.#held) {
      if (text.length > open) break;
      open -= text.length;
      decided++;
    }
    return this.#held.splice(0, decided);
  }

  /** What is left where the text ends without a stop string. */
  end(): Piece[] {
    return this.#held.splice(0);
  }
}

// Where the text before a stop string ends, or null. Of several the one that is complete first
// counts, as if the text had come character by character.
function firstStop(text: string, stops: readonly string[]): number | null {
  let first: { readonly start: number; readonly end: number } | null = null;
  for (const stop of stops) {
    const start = text.indexOf(stop);
    const end = start + stop.length;
    if (start < 0 || first !== null && end > first.end) continue;
    if (first === null || end < first.end || start < first.start) first = { start, end };
  }
  return first && first.start;
}

// Length of the longest end of `text` that begins a stop string.
function openEnd(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(stop.slice(0, length))) longest = length;
    }
  }
  return longest;
}

// The same pieces with the first `length` code units of their text.
function cut<Piece extends Held>(pieces: readonly Piece[], length: number): Piece[] {
  let left = length;
  return pieces.map((piece) => {
    const text = piece.text.slice(0, left);
    left -= text.length;
    return { ...piece, text };
  });
}
