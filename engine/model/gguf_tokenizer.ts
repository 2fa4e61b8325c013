// gguf_tokenizer.ts - the vocabulary in a GGUF file: a byte-pair one as the tokenizer.json of its
// model, or SentencePiece's.
import { broken, unsupported } from "./faults.ts";
import { type Gguf, type GgufValue, readGguf } from "./gguf.ts";
import { type Pieces, tokenTypes } from "./sentencepiece.ts";

// How text is cut before pairs are merged, by `tokenizer.ggml.pre`. Contractions in either case are
// spelt out: not every regular expression engine knows (?i:...).
const contraction = "'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])";
const words = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+";
const rest = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true };

const gpt2 = "'(?:s|t|re|ve|m|ll|d)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const llama3 = `${contraction}|${words}|\\p{N}{1,3}|${rest}`;
const qwen2 = `${contraction}|${words}|\\p{N}|${rest}`;

/** Names of Llama 3's pre-tokenizer. Its whole words are tokens even where no merges lead there. */
export const llama3PreTokenizers: readonly string[] = ["llama-bpe", "llama3", "llama-v3"];

// Patterns, applied one after another: matches and what lies between them become pieces.
const preTokenizers = new Map<string, readonly string[]>([
  ["default", [gpt2]],
  ["gpt-2", [gpt2]],
  ["gpt2", [gpt2]],
  ["smollm", ["\\p{N}", gpt2]],
  ["qwen2", [qwen2]],
  ...llama3PreTokenizers.map((name): [string, readonly string[]] => [name, [llama3]]),
]);

/** A GGUF file's vocabulary: SentencePiece's, or else a tokenizer.json object. */
export type GgufVocabulary = { readonly pieces: Pieces } | { readonly json: object };

/** The vocabulary of a GGUF file. */
export function vocabularyOfGguf(path: string): GgufVocabulary {
  const gguf = readGguf(path);
  const model = gguf.metadata.get("tokenizer.ggml.model");
  if (model === "llama") return { pieces: piecesOf(path, gguf) };
  if (model === "gpt2") return { json: jsonOf(path, gguf) };
  return unsupported(
    path,
    `tokenizer model ${String(model)} is neither byte-pair (gpt2) nor SentencePiece (llama)`,
  );
}

function piecesOf(path: string, { metadata }: Gguf): Pieces {
  const tokens = strings(path, "tokens", metadata.get("tokenizer.ggml.tokens"));
  const list = (name: string) => {
    const value = metadata.get(`tokenizer.ggml.${name}`);
    if (Array.isArray(value) && value.every((item) => typeof item === "number")) {
      if (value.length === tokens.length) return value as number[];
    }
    return broken(path, `metadata tokenizer.ggml.${name} is not a number for each token`);
  };
  const scores = list("scores");
  const types = metadata.has("tokenizer.ggml.token_type") ? list("token_type") : [];
  for (const [id, token] of tokens.entries()) {
    if (types[id] !== tokenTypes.byte || /^<0x[0-9A-Fa-f]{2}>$/.test(token)) continue;
    broken(path, `byte token ${id} of metadata tokenizer.ggml.tokens is ${token}`);
  }
  const unknown = metadata.get("tokenizer.ggml.unknown_token_id") ?? 0;
  if (typeof unknown !== "number" || !(unknown < tokens.length)) {
    const most = tokens.length - 1;
    broken(path, `metadata tokenizer.ggml.unknown_token_id ${String(unknown)} is above ${most}`);
  }
  const spaceFirst = metadata.get("tokenizer.ggml.add_space_prefix") !== false;
  return { tokens, scores, types, unknown, spaceFirst };
}

function jsonOf(path: string, { metadata }: Gguf): object {
  const { control, userDefined } = tokenTypes;
  const pre = String(metadata.get("tokenizer.ggml.pre") ?? "default");
  const patterns = preTokenizers.get(pre);
  if (patterns === undefined) {
    const known = [...preTokenizers.keys()].join(", ");
    unsupported(path, `pre-tokenizer ${pre} is none of ${known}`);
  }
  const splits = patterns.map((pattern) => (
    { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false }
  ));
  const tokens = strings(path, "tokens", metadata.get("tokenizer.ggml.tokens"));
  const merges = strings(path, "merges", metadata.get("tokenizer.ggml.merges"));
  const types = metadata.get("tokenizer.ggml.token_type");
  const typeOf = (id: number) => Array.isArray(types) ? types[id] : 1;
  const added = tokens
    .map((content, id) => ({ content, id, type: typeOf(id) }))
    .filter(({ type }) => type === control || type === userDefined)
    .map(({ content, id, type }) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: type === control,
    }));
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: pre === "qwen2" ? { type: "NFC" } : null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [...splits, { ...byteLevel, use_regex: false }],
    },
    post_processor: null,
    decoder: { ...byteLevel, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: llama3PreTokenizers.includes(pre),
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}

function strings(path: string, name: string, value: GgufValue | undefined): string[] {
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) {
    return value as string[];
  }
  return broken(path, `metadata tokenizer.ggml.${name} is not a list of strings`);
}
