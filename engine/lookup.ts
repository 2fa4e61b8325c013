// lookup.ts - guesses from the text itself: what followed the longest earlier copy of its end
// (METHOD section 6). It wins where a text copies, and has nothing to say elsewhere.
//
// The end's last MATCH tokens are the key of an index of earlier places, newest first, so a step
// costs the same however long the text is.
import type { TextSource } from "./guesses.ts";

/** Tokens that a copy shares with the end at least. */
export const MATCH = 4;
const CANDIDATES = 16; // earlier places that are looked at
const LONGEST = 64; // tokens beyond which a longer match says no more

/** The tokens of a text, and where its end stood before. */
export class Lookup implements TextSource {
  readonly name = "lookup";
  #ids: number[];
  /** Newest place that follows a key, and for each place the one before it with its key. */
  #newest = new Map<number, number>();
  #earlier: number[] = [];
  #indexed = 0; // places below it are in the index

  constructor(ids: readonly number[] = []) {
    this.#ids = [...ids];
  }

  /** Tokens of the text. */
  get length(): number {
    return this.#ids.length;
  }

  /** Their ids. */
  get ids(): readonly number[] {
    return this.#ids;
  }

  /** The same text, with an index of its own. */
  copy(): Lookup {
    return new Lookup(this.#ids);
  }

  /** Adds tokens at the end. */
  add(ids: readonly number[]): void {
    for (let at = 0; at < ids.length; at++) this.#ids.push(ids[at]);
  }

  /** Forgets all but the first `tokens`. */
  cut(tokens: number): void {
    this.#ids.length = Math.min(tokens, this.#ids.length);
    this.#newest.clear();
    this.#earlier = [];
    this.#indexed = 0;
  }

  /** At most `count` tokens that followed the longest earlier copy; the newest of equal ones. */
  after(count: number): number[] {
    const end = this.#ids.length;
    if (end < MATCH || count === 0) return [];
    this.#index(end);
    let best = -1;
    let longest = MATCH - 1;
    let place = this.#newest.get(this.#key(end));
    for (let seen = 0; place !== undefined && place >= 0 && seen < CANDIDATES; seen++) {
      const length = this.#shared(place, end);
      if (length > longest) [best, longest] = [place, length];
      place = this.#earlier[place];
    }
    return best === -1 ? [] : this.#ids.slice(best, Math.min(best + count, end));
  }

  // Places before `end`: the end itself is no earlier copy.
  #index(end: number): void {
    for (; this.#indexed < end; this.#indexed++) {
      const place = this.#indexed;
      if (place < MATCH) {
        this.#earlier.push(-1);
        continue;
      }
      const key = this.#key(place);
      this.#earlier.push(this.#newest.get(key) ?? -1);
      this.#newest.set(key, place);
    }
  }

  // Of the MATCH tokens before `place`. Two keys may be equal by chance: #shared looks itself.
  #key(place: number): number {
    let key = 0;
    for (let at = place - MATCH; at < place; at++) {
      key = Math.imul(key ^ this.#ids[at], 0x9e3779b1) ^ key >>> 15; // odd: keeps all bits
    }
    return key;
  }

  #shared(place: number, end: number): number {
    let length = 0;
    while (
      length < LONGEST && length < place &&
      this.#ids[place - 1 - length] === this.#ids[end - 1 - length]
    ) length++;
    return length;
  }
}
