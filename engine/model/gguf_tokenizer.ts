// gguf_tokenizer.ts - the byte-pair vocabulary in a GGUF file as the tokenizer.json of its model.
import { broken, unsupported } from "./faults.ts";
import { type GgufValue, readGguf } from "./gguf.ts";

// How text is cut before pairs are merged, by `tokenizer.ggml.pre`. Contractions in either case are
// spelt out: not every regular expression engine knows (?i:...).
const contraction = "'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])";
const words = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+";
const rest = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true };

function cut(pattern: string): object[] {
  return [
    { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
    { ...byteLevel, use_regex: false },
  ];
}

const gpt2 = [{ ...byteLevel, use_regex: true }];
const preTokenizers: Record<string, object[]> = {
  "default": gpt2,
  "gpt-2": gpt2,
  "smollm": [{ type: "Digits", individual_digits: true }, ...gpt2],
  "llama-bpe": cut(`${contraction}|${words}|\\p{N}{1,3}|${rest}`),
  "qwen2": cut(`${contraction}|${words}|\\p{N}|${rest}`),
};

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
  const pretokenizers = preTokenizers[pre];
  if (pretokenizers === undefined) {
    const known = Object.keys(preTokenizers).join(", ");
    unsupported(path, `pre-tokenizer ${pre} is none of ${known}`);
  }
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
    pre_tokenizer: { type: "Sequence", pretokenizers },
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
