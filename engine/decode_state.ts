// decode_state.ts - what a text is between two requests: its sequence, and what was asked or
// emitted but is not in it yet.
import { Chain, type TextSource } from "./guesses.ts";
import { Lookup } from "./lookup.ts";
import { type GuessStats, noGuesses } from "./stats.ts";

/** Tokens that a sequence has lost and is to have again, in the way in which it had them. */
export interface Lost {
  readonly ids: readonly number[];
  /** Whether they were read; else steps had them as inputs. */
  readonly read: boolean;
}

/** One text: its sequence, and what was asked or emitted but is not in the sequence yet. */
export class DecodeState {
  #length = 0;
  /** What the sequence held when it was set back: tokens, and those of them that were read. */
  #before: { readonly tokens: number; readonly read: number } | null = null;
  /** Tokens that steps put into the sequence: [from, end), ascending; the others were read. */
  #stepped: { readonly from: number; readonly end: number }[] = [];
  /** Prompt tokens that are not in the sequence yet. */
  unread: number[] = [];
  /** The emitted token that is not in the sequence yet. */
  next: number | null = null;
  /** Logits (vocabulary) after the prompt, where no token was drawn from them yet. */
  logits: Float32Array | null = null;
  guesses = new Chain();
  guessStats: GuessStats = noGuesses();
  /** The tokens of the sequence, and `next`. */
  text: TextSource = new Lookup();
  /** Tokens of the text up to the end of the last prompt; those behind it were generated. */
  prompted = 0;
  /** Decode steps so far. */
  steps = 0;
  /** Tokens that were lost and came into the sequence again. */
  recomputed = 0;

  constructor(readonly sequence: bigint) {}

  /** Tokens in the sequence. */
  get length(): number {
    return this.#length;
  }

  /** Tokens that the sequence has, and those that it has lost. */
  get reached(): number {
    return this.#before?.tokens ?? this.#length;
  }

  /** Whether the sequence has lost none. */
  get whole(): boolean {
    return this.#before === null;
  }

  /** The first tokens that the sequence has lost, `most` at most, and all in one way. */
  lost(most: number): Lost {
    const { tokens, read } = this.#before ?? { tokens: this.#length, read: 0 };
    const reads = this.#length < read;
    const end = Math.min(this.#length + most, reads ? read : tokens);
    return { ids: this.text.ids.slice(this.#length, end), read: reads };
  }

  /** Tokens from the beginning on that were read, not generated. */
  get readTokens(): number {
    return this.#stepped[0]?.from ?? this.#length;
  }

  /** Tokens among the first `tokens` that were generated. */
  generatedIn(tokens: number): number {
    let generated = 0;
    for (const { from, end } of this.#stepped) {
      generated += Math.max(0, Math.min(end, tokens) - from);
    }
    return generated;
  }

  /** The sequence has `tokens` more, read from a prompt. */
  read(tokens: number): void {
    this.#grow(tokens);
  }

  /** The sequence has `tokens` more, inputs of a step. */
  stepped(tokens: number): void {
    const from = this.#length;
    this.#grow(tokens);
    const last = this.#stepped.length - 1;
    const joins = last >= 0 && this.#stepped[last].end === from;
    if (joins) this.#stepped[last] = { from: this.#stepped[last].from, end: this.#length };
    else this.#stepped.push({ from, end: this.#length });
  }

  /**
   * The sequence was cut to `tokens`, but the text goes on where it was: it has lost what is
   * beyond. What is generated must stand behind all that was read.
   */
  setBack(tokens: number): void {
    this.#before ??= { tokens: this.#length, read: this.readTokens };
    this.#cutSequence(tokens);
  }

  /** Adds a prompt; the token that waits is read with it. */
  ask(ids: readonly number[]): void {
    const waiting = this.next === null ? [] : [this.next];
    this.text.add(ids);
    this.prompted = this.text.length;
    this.unread = [...waiting, ...this.unread, ...ids];
    this.next = null;
    this.logits = null;
    this.guesses.restart();
  }

  /** The same state on a fork of the sequence; its counters start anew, as the library's do. */
  fork(sequence: bigint): DecodeState {
    const fork = new DecodeState(sequence);
    fork.#length = this.#length;
    fork.#stepped = [...this.#stepped];
    fork.unread = [...this.unread];
    fork.next = this.next;
    fork.logits = this.logits;
    fork.guesses = this.guesses.copy();
    fork.text = this.text.copy();
    fork.prompted = this.prompted;
    return fork;
  }

  /** Whether the text has a first token, held or waiting. */
  get begun(): boolean {
    return this.length > 0 || this.unread.length > 0 || this.next !== null;
  }

  /** Goes back to what `before`, a fork on the same sequence, was. */
  restore(before: DecodeState): void {
    this.#length = before.#length;
    this.#stepped = [...before.#stepped];
    this.unread = before.unread;
    this.next = before.next;
    this.logits = before.logits;
    this.guesses = before.guesses;
    this.text = before.text;
    this.prompted = before.prompted;
  }

  /** Forgets what is beyond `tokens`, to which the sequence was cut. */
  cut(tokens: number): void {
    this.#before = null;
    this.#cutSequence(tokens);
    this.unread = [];
    this.next = null;
    this.logits = null;
    this.guesses.restart();
    this.text.cut(tokens);
    this.prompted = Math.min(this.prompted, tokens);
  }

  #cutSequence(tokens: number): void {
    this.#length = tokens;
    this.#stepped = this.#stepped.filter(({ from }) => from < tokens)
      .map(({ from, end }) => ({ from, end: Math.min(end, tokens) }));
  }

  #grow(tokens: number): void {
    this.#length += tokens;
    if (this.#before === null) return;
    this.recomputed += tokens;
    if (this.#length === this.#before.tokens) this.#before = null;
  }
}
