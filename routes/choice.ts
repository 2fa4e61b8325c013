// choice.ts - one answer as it comes: tokens to text and calls of tools, each with the tokens that
// brought it.
import type { Stop } from "../engine/decode.ts";
import type { GenerateResult, Piece } from "../engine/generation.ts";
import { type Call, CallParser } from "./call_parser.ts";

/** A call with what its result is told apart by. */
export interface ToldCall extends Call {
  readonly id: string;
}

/** What is told at a time. */
export interface Part {
  readonly text: string;
  readonly calls: readonly ToldCall[];
  /** The tokens that are told with it. */
  readonly pieces: readonly Piece[];
}

/** Why an answer ended, in OpenAI's words. */
export type FinishReason = "stop" | "length" | "tool_calls";

/** The calls that are looked for in an answer. */
export interface CallsAsked {
  /** Names of the tools. */
  readonly names: readonly string[];
  /** Whether only the first is told. */
  readonly single: boolean;
}

/** Reads one answer. */
export class Choice {
  readonly #parser: CallParser | null;
  readonly #single: boolean;
  #quiet: Piece[] = []; // tokens whose text is still to come
  #sent = 0; // code units of the text that was read
  #calls = 0;

  /** null: no calls are looked for. */
  constructor(asked: CallsAsked | null) {
    this.#parser = asked && new CallParser(asked.names);
    this.#single = asked?.single ?? false;
  }

  /** What a token brings; null: nothing yet. */
  push(piece: Piece): Part | null {
    this.#quiet.push(piece);
    this.#sent += piece.text.length;
    return piece.text === "" ? null : this.#told(piece.text);
  }

  /** What is left: of a character that was never finished, or of no call. */
  end(result: GenerateResult): Part | null {
    const rest = result.text.slice(this.#sent);
    const told = this.#told(rest);
    const left = this.#parser?.end().text ?? "";
    const text = (told?.text ?? "") + left;
    const pieces = told?.pieces ?? this.#quiet.splice(0);
    const calls = told?.calls ?? [];
    return text === "" && calls.length === 0 && pieces.length === 0
      ? null
      : { text, calls, pieces };
  }

  /** Why it ended. */
  reason(stop: Stop): FinishReason {
    const ended = stop === "eos" || stop === "stop";
    if (!ended) return "length"; // also cut short: who asked has left, or the engine is closing
    return this.#calls > 0 ? "tool_calls" : "stop";
  }

  #told(text: string): Part | null {
    const parsed = this.#parser?.push(text) ?? { text, calls: [] };
    const calls = this.#kept(parsed.calls);
    if (parsed.text === "" && calls.length === 0) return null;
    return { text: parsed.text, calls, pieces: this.#quiet.splice(0) };
  }

  #kept(calls: readonly Call[]): ToldCall[] {
    const kept = this.#single ? calls.slice(0, 1 - Math.min(1, this.#calls)) : calls;
    this.#calls += kept.length;
    return kept.map((call) => ({ ...call, id: callId() }));
  }
}

const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

// Nine letters and digits: the templates of Mistral's models take no other.
function callId(): string {
  const random = crypto.getRandomValues(new Uint8Array(9));
  return Array.from(random, (byte) => LETTERS[byte % LETTERS.length]).join("");
}
