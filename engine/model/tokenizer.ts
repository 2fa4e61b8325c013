// tokenizer.ts - text to token ids and back, by @huggingface/tokenizers, also for GGUF files.
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer as Library } from "@huggingface/tokenizers";
import type { ModelDescription } from "./describe.ts";
import { broken, readJson } from "./faults.ts";
import { tokenizerOfGguf } from "./gguf_tokenizer.ts";

/** Text of a stream of tokens. */
export interface TextStream {
  /** The text that this token completes; pieces never split a character. */
  push(id: number): string;
  /** What is left. */
  end(): string;
}

/** Text to token ids and back. */
export interface Tokenizer {
  /** Token ids; special tokens in the text are recognised, bos comes first where the model asks. */
  encode(text: string): number[];
  /** Text without special tokens. */
  decode(ids: readonly number[]): string;
  /** Text piece by piece. */
  stream(): TextStream;
}

// A character of UTF-8 has at most 4 bytes, so at most 3 tokens can end inside one.
const bytesOfCharacter = 4;

/**
 * The tokenizer of a model, or null for a folder without tokenizer.json.
 *
 * @throws {SpecacheError} file: broken; unsupported: a vocabulary that is not byte-pair
 */
export function loadTokenizer(path: string, description: ModelDescription): Tokenizer | null {
  if (!statSync(path).isDirectory()) return wrap(path, tokenizerOfGguf(path), {}, description);
  const file = join(path, "tokenizer.json");
  if (!existsSync(file)) return null;
  const config = join(path, "tokenizer_config.json");
  return wrap(file, readJson(file), existsSync(config) ? readJson(config) : {}, description);
}

function wrap(path: string, tokenizer: object, config: object, model: ModelDescription): Tokenizer {
  let library: Library;
  try {
    library = new Library(tokenizer, config);
  } catch (cause) {
    return broken(path, `is not a tokenizer: ${(cause as Error).message}`);
  }
  const bos = model.addBos && model.bos !== null ? [model.bos] : [];
  const decode = (ids: readonly number[]) =>
    ids.length === 0 ? "" : library.decode([...ids], {
      skip_special_tokens: true,
      clean_up_tokenization_spaces: false,
    });
  return {
    encode: (text) => [
      ...bos,
      ...(text === "" ? [] : library.encode(text, { add_special_tokens: false }).ids),
    ],
    decode,
    stream: () => textStream(decode),
  };
}

function textStream(decode: (ids: readonly number[]) => string): TextStream {
  let pending: number[] = [];
  const take = () => {
    const text = decode(pending);
    pending = [];
    return text;
  };
  return {
    push(id) {
      pending.push(id);
      const unfinished = decode(pending).endsWith("\uFFFD") && pending.length < bytesOfCharacter;
      return unfinished ? "" : take();
    },
    end: take,
  };
}
