// gguf_tokenizer.ts - the byte-pair vocabulary in a GGUF file as the tokenizer.json of its model.
import { broken, unsupported } from "./faults.ts";
import { type GgufValue, readGguf } from "./gguf.ts";

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

// Token types of GGUF.
const control = 3;
const userDefined = 4;

/** The tokenizer.json object of a GGUF file. */
export function tokenizerOfGguf(path: string): object {
  const { metadata } = readGguf(path);
  const model = metadata.get("tokenizer.ggml.model");
  if (model !== "gpt2") {
    unsupported(path, `tokenizer model ${String(model)} is not a byte-pair vocabulary (gpt2)`);
  }
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
