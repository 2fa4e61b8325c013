// tokenizer.test.ts - byte-pair vocabularies of GGUF files and of folders, and text in pieces.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { SpecacheError } from "../../engine/errors.ts";
import { describeModel, type ModelDescription } from "../../engine/model/describe.ts";
import { loadTokenizer, type Tokenizer } from "../../engine/model/tokenizer.ts";
import {
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
  assertThrows,
  test,
} from "../harness.ts";
import { ggufBytes, golden, type Metadata, withFolder } from "./files.ts";

const model = describeModel(join(golden, "gguf/llama-plain.f32.gguf"));
const withoutBos: ModelDescription = { ...model, addBos: false };

// Bytes as byte-level vocabularies write them: printable ones as themselves, the others
// from U+0100 on.
const letters = Array.from({ length: 256 }, (_, byte) => byte);
const isPrintable = (byte: number) =>
  byte > 32 && byte < 127 || byte > 160 && byte < 256 && byte !== 173;
const others = letters.filter((byte) => !isPrintable(byte));
const alphabet = letters.map((byte) =>
  String.fromCodePoint(isPrintable(byte) ? byte : 256 + others.indexOf(byte))
);

// Merges that would join what the pre-tokenizers keep apart, so the pieces show in the tokens.
const merges = ["1 2", "12 3", "123 4", "' S", "Ġ a", ". Ċ"];
const words = merges.map((pair) => pair.replace(" ", ""));
// A whole word that no merges lead to, and special tokens 263 and 264.
const tokens = [...alphabet, ...words, "xyz", "<|user|>", "<|end|>"];
const types = tokens.map((_, id) => id > 262 ? 3 : 1);

function withTokenizer(
  fields: Metadata,
  body: (tokenizer: Tokenizer) => void,
  description = withoutBos,
): void {
  withFolder((folder) => {
    const path = join(folder, "model.gguf");
    const metadata: Metadata = {
      "tokenizer.ggml.model": "gpt2",
      "tokenizer.ggml.tokens": tokens,
      "tokenizer.ggml.merges": merges,
      "tokenizer.ggml.token_type": types,
      ...fields,
    };
    writeFileSync(path, ggufBytes(metadata));
    body(loadTokenizer(path, description)!);
  });
}

// Text, and its tokens by kind of pre-tokenizer.
const pieces: Record<string, [string, string][]> = {
  "gpt-2": [
    ["12345", "1234|5"],
    ["1'S", "1|'|S"],
    ["b a", "b|Ġa"],
    [".\n", ".|Ċ"],
    ["xyz", "x|y|z"],
  ],
  "smollm": [["12345", "1|2|3|4|5"], ["1'S", "1|'|S"]],
  "qwen2": [["12345", "1|2|3|4|5"], ["1'S", "1|'S"], [".\n", ".Ċ"], ["xyz", "x|y|z"]],
  "llama-bpe": [["12345", "123|4|5"], ["1'S", "1|'S"], [".\n", ".Ċ"], ["xyz", "xyz"]],
};

for (const [pre, cases] of Object.entries(pieces)) {
  test(`encode() cuts text as ${pre} does`, () => {
    withTokenizer({ "tokenizer.ggml.pre": pre }, (tokenizer) => {
      for (const [text, expected] of cases) {
        assertEquals(tokenizer.encode(text).map((id) => tokens[id]).join("|"), expected);
        assertEquals(tokenizer.decode(tokenizer.encode(text)), text);
      }
    });
  });
}

test("every character comes back, and special tokens are one token in and nothing out", () => {
  withTokenizer({}, (tokenizer) => {
    const text = "Grüße, 東京 👩‍👩‍👧 \u0085\ufeff\u00a0\t\r\n\0 end ";
    assertEquals(tokenizer.decode(tokenizer.encode(text)), text);
    assertEquals(tokenizer.encode("<|user|>.<|end|>"), [263, 46, 264]);
    assertEquals(tokenizer.decode([263, 46, 264]), ".");
    assertEquals(tokenizer.encode(""), []);
    assertEquals(tokenizer.decode([]), "");
    assertEquals(tokenizer.decode([264]), "");
  });
});

test("ids without a token, as rounded-up vocabularies have them, have no text", () => {
  withTokenizer({}, (tokenizer) => {
    assertEquals(tokenizer.decode([46, 99_999, 46]), "..");
    assertEquals(tokenizer.stream().push(99_999), "");
  });
});

test("qwen2 composes characters first", () => {
  withTokenizer({ "tokenizer.ggml.pre": "qwen2" }, (tokenizer) => {
    assertEquals(tokenizer.encode("e\u0301"), tokenizer.encode("\u00e9"));
  });
});

test("bos comes first where the model asks for it, once", () => {
  const description = { ...model, addBos: true, bos: 263 };
  withTokenizer({}, (tokenizer) => {
    assertEquals(tokenizer.encode("."), [263, 46]);
    assertEquals(tokenizer.encode("<|user|>."), [263, 46]);
    assertEquals(tokenizer.encode(""), [263]);
    assertEquals(tokenizer.encode(".", false), [46]);
  }, description);
});

test("a stream gives the whole text and never part of a character", () => {
  withTokenizer({}, (tokenizer) => {
    const text = "aß東👩‍👩‍👧 " + "👍🏽".repeat(20) + "\ufffd end";
    const stream = tokenizer.stream();
    const given = tokenizer.encode(text).map((id) => stream.push(id));
    given.push(stream.end());
    assertEquals(given.join(""), text);
    // The bytes of 👍 come in four tokens: nothing, nothing, nothing, all of it.
    assertEquals(given.filter((piece) => piece.includes("👍")).length, 20);
    assertEquals(given.join("").split("\ufffd").length, 2);
  });
});

test("a stream that ends inside a character gives what is left as U+FFFD", () => {
  withTokenizer({}, (tokenizer) => {
    const stream = tokenizer.stream();
    assertEquals([0x61, 0xf0, 0x9f, 0x98].map((byte) => stream.push(byte)), ["a", "", "", ""]);
    assertEquals(stream.end(), "\ufffd");
    assertEquals(stream.end(), "");
  });
});

test("bytes that are never a character come out as decode() gives them, in the next piece", () => {
  withTokenizer({}, (tokenizer) => {
    const ids = Array.from({ length: 100 }, (_, i) => i % 7 === 3 ? 0xf0 : 0x80 + i % 64);
    const stream = tokenizer.stream();
    const given = ids.map((id) => stream.push(id)).join("") + stream.end();
    assertEquals(given, tokenizer.decode(ids));
  });
});

test("a stream keeps spaces that SentencePiece decoders drop at the beginning of a text", () => {
  withFolder((folder) => {
    const vocabulary = ["<unk>", "▁", "▁a", "b", "<0xC3>", "<0xA9>"];
    const decoders = [
      { type: "Replace", pattern: { String: "▁" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 },
    ];
    const tokenizer = {
      added_tokens: [{ id: 0, content: "<unk>", special: true }],
      normalizer: null,
      pre_tokenizer: null,
      post_processor: null,
      decoder: { type: "Sequence", decoders },
      model: {
        type: "BPE",
        unk_token: "<unk>",
        byte_fallback: true,
        vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
        merges: ["▁ a"],
      },
    };
    writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(tokenizer));
    const loaded = loadTokenizer(folder, withoutBos)!;
    const ids = Array.from({ length: 40 }, (_, i) => [2, 3, 2, 4, 5][i % 5]);
    const stream = loaded.stream();
    const given = ids.map((id) => stream.push(id)).join("") + stream.end();
    assertEquals(given, "ab aé ".repeat(8).trimEnd());
    assertEquals(given, loaded.decode(ids));
  });
});

test("a folder without tokenizer.json has no tokenizer", () => {
  assertEquals(loadTokenizer(join(golden, "llama-plain"), withoutBos), null);
});

// What is written into the metadata, code and words of the error.
const refused: [Metadata, string, string][] = [
  [{ "tokenizer.ggml.pre": "zebra" }, "unsupported", "pre-tokenizer zebra"],
  [{ "tokenizer.ggml.pre": "constructor" }, "unsupported", "pre-tokenizer constructor"],
  [{ "tokenizer.ggml.model": "bert" }, "unsupported", "tokenizer model bert"],
  [{ "tokenizer.ggml.tokens": [1, 2] }, "file", "tokenizer.ggml.tokens"],
  [{ "tokenizer.ggml.merges": "none" }, "file", "tokenizer.ggml.merges"],
];

for (const [fields, code, word] of refused) {
  test(`loadTokenizer() refuses ${JSON.stringify(fields)}`, () => {
    const error = assertThrows(() => withTokenizer(fields, () => {}));
    assertInstanceOf(error, SpecacheError);
    assertEquals(error.code, code);
    assertStringIncludes(error.message, word);
  });
}

test("a tokenizer.json that is none is refused by file", () => {
  withFolder((folder) => {
    for (const content of ["{", "{}", '{"model":{"type":"Zebra"}}']) {
      writeFileSync(join(folder, "tokenizer.json"), content);
      const error = assertThrows(() => loadTokenizer(folder, withoutBos), SpecacheError);
      assertStringIncludes(error.message, "tokenizer.json");
    }
  });
});
