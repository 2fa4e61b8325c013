// tokenizer.ts - text to token ids and back: by @huggingface/tokenizers, also for byte-pair
// vocabularies of GGUF files; by our own code for SentencePiece's, whose scores it does not know.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer as Library } from "@huggingface/tokenizers";
import { isFolder, type ModelDescription } from "./describe.ts";
import { broken } from "./faults.ts";
import { vocabularyOfGguf } from "./gguf_tokenizer.ts";
import { readJson } from "./json.ts";
import { SentencePiece } from "./sentencepiece.ts";
import { byteLevelOf, byteLevelOfPiece } from "./token_bytes.ts";

/** Text of a stream of tokens. */
export interface TextStream {
  /** The text that this token completes; pieces never split a character. */
  push(id: number): string;
  /** What is left. */
  end(): string;
}

/** Text to token ids and back. */
export interface Tokenizer {
  /**
   * Token ids. Special tokens in the text are recognised. Where `begins`, the default, bos comes
   * first if the model asks for it and the text does not begin with it already, as text out of a
   * chat template may. Where `continues`, by default what does not begin, the text goes on from one
   * before it: SentencePiece vocabularies of GGUF files put no space before it.
   */
  encode(text: string, begins?: boolean, continues?: boolean): number[];
  /** Text without special tokens. */
  decode(ids: readonly number[]): string;
  /** Text piece by piece. */
  stream(): TextStream;
  /**
   * The bytes that a token adds to a text, in the alphabet of byte-level vocabularies
   * (token_bytes.ts); empty: it has no text.
   */
  bytes(id: number): string;
}

/**
 * The tokenizer of a model, or null for a folder without tokenizer.json.
 *
 * @throws {SpecacheError} file: broken; unsupported: a vocabulary of another kind
 */
export function loadTokenizer(path: string, description: ModelDescription): Tokenizer | null {
  if (!isFolder(path)) {
    const vocabulary = vocabularyOfGguf(path);
    if ("pieces" in vocabulary) return wrap(new SentencePiece(vocabulary.pieces), description);
    return wrap(coderOf(path, vocabulary.json, {}), description);
  }
  const file = join(path, "tokenizer.json");
  if (!existsSync(file)) return null;
  const config = join(path, "tokenizer_config.json");
  const settings = existsSync(config) ? readJson(config) : {};
  return wrap(coderOf(file, readJson(file), settings), description);
}

// Text that is not empty to ids, and ids that have a text to it.
interface Coder {
  encode(text: string, continues: boolean): number[];
  decode(ids: readonly number[]): string;
  hasText(id: number): boolean;
  bytes(id: number): string;
}

function coderOf(path: string, tokenizer: object, config: object): Coder {
  let library: Library;
  try {
    library = new Library(tokenizer, config);
  } catch (cause) {
    return broken(path, `is not a tokenizer (${(cause as Error).message})`);
  }
  const special = new Set<number>();
  const added = library.get_added_tokens_decoder();
  for (const [id, token] of added) if (token.special) special.add(id);
  const byteLevel = JSON.stringify((tokenizer as { decoder?: unknown }).decoder ?? null)
    .includes('"ByteLevel"');
  // Models round their vocabulary up, so a sampled id may have no token: it has no text either.
  return {
    encode: (text) => library.encode(text, { add_special_tokens: false }).ids,
    decode: (ids) => library.decode([...ids], { clean_up_tokenization_spaces: false }),
    hasText: (id) => !special.has(id) && library.id_to_token(id) !== undefined,
    bytes(id) {
      const token = library.id_to_token(id) ?? "";
      if (added.has(id)) return byteLevelOf(token);
      return byteLevel ? token : byteLevelOfPiece(token);
    },
  };
}

function wrap(coder: Coder, model: ModelDescription): Tokenizer {
  const hasText = (id: number) => coder.hasText(id);
  const decode = (ids: readonly number[]) => {
    const kept = ids.filter(hasText);
    return kept.length === 0 ? "" : coder.decode(kept);
  };
  return {
    encode(text, begins = true, continues = !begins) {
      const ids = text === "" ? [] : coder.encode(text, continues);
      const { bos, addBos } = model;
      return begins && addBos && bos !== null && ids[0] !== bos ? [bos, ...ids] : ids;
    },
    decode,
    stream: () => textStream(decode, hasText),
    bytes: (id) => hasText(id) ? coder.bytes(id) : "",
  };
}

// A character of UTF-8 has at most 4 bytes and a token at least 1, so the last 3 tokens hold the
// beginning of an unfinished one. A fourth stands before them because some decoders drop the space
// before the first token they see.
const tokensBefore = 4;
const tokensMax = 16;
const unfinished = "\uFFFD"; // what decoders make of the beginning of a character

function textStream(
  decode: (ids: readonly number[]) => string,
  hasText: (id: number) => boolean,
): TextStream {
  let ids: number[] = []; // the newest tokens, of which the first `given` code units are given
  let given = 0;
  const ready = (text: string) => text.endsWith(unfinished) ? text.length - 1 : text.length;
  return {
    push(id) {
      if (!hasText(id)) return "";
      ids.push(id);
      const text = decode(ids);
      const piece = text.slice(given, ready(text));
      given = Math.max(given, ready(text));
      if (ids.length === tokensMax) {
        ids = ids.slice(-tokensBefore);
        given = ready(decode(ids));
      }
      return piece;
    },
    end() {
      const piece = decode(ids).slice(given);
      ids = [];
      given = 0;
      return piece;
    },
  };
}
