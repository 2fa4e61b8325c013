// engine.ts - what the routes need of an engine. Types alone: nothing here loads the library.
import type { GenerateOptions, Message } from "../engine/config_generate.ts";
import type { GenerateResult, Piece } from "../engine/generation.ts";
import type { Tokenizer } from "../engine/model/tokenizer.ts";

/** An engine that is served; Engine is one. */
export interface ServedEngine {
  /** The model. */
  readonly model: { readonly name: string };
  /** Longest sequence in tokens: a prompt and its answer. */
  readonly contextTokens: number;
  /** null: the model has none. */
  readonly tokenizer: Pick<Tokenizer, "encode" | "decode"> | null;
  /** The text that messages become for the model. */
  conversation(messages: readonly Message[]): string;
  /** Generates; what it refuses at once it throws, what it meets later the result rejects with. */
  generate(options: GenerateOptions): ServedGeneration;
}

/** A running generation; Generation is one. */
export interface ServedGeneration extends AsyncIterable<Piece> {
  /** Settles when it has ended and its memory is free. */
  readonly result: Promise<GenerateResult>;
}
