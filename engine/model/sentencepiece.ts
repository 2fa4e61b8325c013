// sentencepiece.ts - text to tokens and back by a SentencePiece vocabulary, as SentencePiece's
// byte-pair models and llama.cpp do it: of all neighbours whose joined text is a token, those with
// the largest score are joined first, the leftmost of equals, until no neighbours are left. What is
// no token then becomes tokens of its bytes.

import { byteLevelOfPiece } from "./token_bytes.ts";

/** A vocabulary; each list has one entry a token. */
export interface Pieces {
  readonly tokens: readonly string[];
  readonly scores: readonly number[];
  /** GGUF's token types. */
  readonly types: readonly number[];
  /** Stands for characters of which not all bytes have tokens. */
  readonly unknown: number;
  /** A text begins with a space of its own, which decoding takes away again. */
  readonly spaceFirst: boolean;
}

/** GGUF's types of tokens that differ from text. */
export const tokenTypes = { unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

const space = "\u2581"; // stands for a space in tokens

// A place in the text: what has been joined there so far.
interface Part {
  text: string;
  before: Part | null;
  after: Part | null;
  readonly place: number; // orders parts
  gone: boolean; // joined to the one before it
}

// Two neighbours that could be joined. They cannot if one has grown or gone since.
interface Pair {
  readonly left: Part;
  readonly right: Part;
  readonly joined: string;
  readonly score: number;
}

const isFirst = (a: Pair, b: Pair) =>
  a.score > b.score || a.score === b.score && a.left.place < b.left.place;

/** A binary heap: the first pair is nowhere behind another. */
class Pairs {
  private readonly pairs: Pair[] = [];

  add(pair: Pair): void {
    const { pairs } = this;
    let at = pairs.length;
    while (at > 0 && isFirst(pair, pairs[at - 1 >> 1])) {
      pairs[at] = pairs[at - 1 >> 1];
      at = at - 1 >> 1;
    }
    pairs[at] = pair;
  }
  takeFirst(): Pair | undefined {
    const { pairs } = this;
    const first = pairs[0];
    const last = pairs.pop();
    if (pairs.length === 0 || last === undefined) return first;
    let at = 0;
    for (;;) {
      let next = 2 * at + 1;
      if (next + 1 < pairs.length && isFirst(pairs[next + 1], pairs[next])) next++;
      if (next >= pairs.length || !isFirst(pairs[next], last)) break;
      pairs[at] = pairs[next];
      at = next;
    }
    pairs[at] = last;
    return first;
  }
}

/** Text to tokens and back. */
export class SentencePiece {
  private readonly ids = new Map<string, number>(); // tokens that text is joined to
  private readonly tokenOfByte = new Map<number, number>();
  private readonly byteOfToken = new Map<number, number>();
  private readonly special = new Map<string, number>(); // tokens that are found in text whole
  private readonly splitter: RegExp | null;

  constructor(private readonly pieces: Pieces) {
    const { tokens, types } = pieces;
    const { unknown, control, userDefined, unused, byte } = tokenTypes;
    tokens.forEach((token, id) => {
      const type = types[id];
      if (type === byte) {
        const value = Number.parseInt(token.slice(3, 5), 16);
        this.tokenOfByte.set(value, id);
        this.byteOfToken.set(id, value);
      } else if (type === control || type === userDefined || type === unknown) {
        if (token !== "") this.special.set(token, id);
      } else if (type !== unused) {
        this.ids.set(token, id);
      }
    });
    const escaped = [...this.special.keys()].sort((a, b) => b.length - a.length)
      .map((token) => token.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&"));
    this.splitter = escaped.length === 0 ? null : new RegExp(`(${escaped.join("|")})`);
  }

  /** Whether a token stands for text. */
  hasText(id: number): boolean {
    const { tokens, types } = this.pieces;
    const type = types[id];
    return id < tokens.length && type !== tokenTypes.control && type !== tokenTypes.unknown;
  }

  /**
   * Token ids. Text behind a special token begins as a whole text does, as llama.cpp has it, but
   * one that continues another begins without a space of its own.
   */
  encode(text: string, continues: boolean): number[] {
    const out: number[] = [];
    const parts = this.splitter === null ? [text] : text.split(this.splitter);
    let begins = !continues;
    for (const part of parts) {
      if (part === "") continue;
      const id = this.special.get(part);
      if (id !== undefined) out.push(id);
      else this.join(begins && this.pieces.spaceFirst ? ` ${part}` : part, out);
      begins = id !== undefined;
    }
    return out;
  }

  private join(text: string, out: number[]): void {
    const first = partsOf(text.replaceAll(" ", space));
    const pairs = new Pairs();
    for (let part: Part | null = first; part !== null; part = part.after) this.offer(pairs, part);
    for (let pair = pairs.takeFirst(); pair !== undefined; pair = pairs.takeFirst()) {
      const { left, right, joined } = pair;
      if (left.gone || right.gone || left.text.length + right.text.length !== joined.length) {
        continue;
      }
      left.text = joined;
      left.after = right.after;
      right.gone = true;
      if (left.after !== null) left.after.before = left;
      if (left.before !== null) this.offer(pairs, left.before);
      this.offer(pairs, left);
    }
    for (let part: Part | null = first; part !== null; part = part.after) this.put(part.text, out);
  }

  private offer(pairs: Pairs, left: Part): void {
    const right = left.after;
    if (right === null) return;
    const joined = left.text + right.text;
    const id = this.ids.get(joined);
    if (id !== undefined) pairs.add({ left, right, joined, score: this.pieces.scores[id] });
  }

  private put(text: string, out: number[]): void {
    const id = this.ids.get(text);
    if (id !== undefined) {
      out.push(id);
      return;
    }
    const { unknown } = this.pieces;
    const bytes = [...new TextEncoder().encode(text)].map((byte) => this.tokenOfByte.get(byte));
    if (bytes.every((each) => each !== undefined)) out.push(...bytes);
    else if (out.at(-1) !== unknown) out.push(unknown); // one for all in a row
  }

  /** The bytes of a token that has a text, in the alphabet of token_bytes.ts. */
  bytes(id: number): string {
    return byteLevelOfPiece(this.pieces.tokens[id]);
  }

  /** The text of tokens that have one. */
  decode(ids: readonly number[]): string {
    let text = "";
    for (let at = 0; at < ids.length;) {
      const bytes: number[] = [];
      for (; at < ids.length; at++) {
        const byte = this.byteOfToken.get(ids[at]);
        if (byte === undefined) break;
        bytes.push(byte);
      }
      if (bytes.length > 0) text += utf8.decode(Uint8Array.from(bytes));
      else text += this.pieces.tokens[ids[at++]].replaceAll(space, " ");
    }
    return this.pieces.spaceFirst && text.startsWith(" ") ? text.slice(1) : text;
  }
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true }); // keeps it

function partsOf(text: string): Part | null {
  let first: Part | null = null;
  let last: Part | null = null;
  let place = 0;
  for (const character of text) {
    const part: Part = { text: character, before: last, after: null, place, gone: false };
    place++;
    if (last === null) first = part;
    else last.after = part;
    last = part;
  }
  return first;
}
