// sentencepiece.test.ts - SentencePiece vocabularies of GGUF files and of folders against what the
// Python packages sentencepiece and tokenizers make of the same texts.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SpecacheError } from "../../engine/errors.ts";
import { describeModel, type ModelDescription } from "../../engine/model/describe.ts";
import { loadTokenizer, type Tokenizer } from "../../engine/model/tokenizer.ts";
import { byteLevelOf } from "../../engine/model/token_bytes.ts";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
  assertThrows,
  test,
} from "../harness.ts";
import { ggufBytes, golden, type Metadata, withFolder } from "./files.ts";

interface Case {
  readonly text: string;
  readonly ids: number[];
  readonly decoded: string;
}
interface Vocabulary {
  readonly tokens: string[];
  readonly scores: number[];
  readonly types: number[];
  readonly addSpacePrefix: boolean;
  readonly cases: readonly Case[];
}
interface Golden {
  readonly llama: Vocabulary;
  readonly bare: Vocabulary;
  readonly tokenizerJson: { readonly json: object; readonly cases: readonly Case[] };
}

const { llama, bare, tokenizerJson }: Golden = JSON.parse(
  readFileSync(join(golden, "spm_vocabularies.json"), "utf8"),
);
const model = describeModel(join(golden, "gguf/llama-plain.f32.gguf"));
const withoutBos: ModelDescription = { ...model, addBos: false };

function withVocabulary(
  { tokens, scores, types, addSpacePrefix }: Vocabulary,
  body: (tokenizer: Tokenizer) => void,
  fields: Metadata = {},
  description = withoutBos,
): void {
  withFolder((folder) => {
    const path = join(folder, "model.gguf");
    const metadata: Metadata = {
      "tokenizer.ggml.model": "llama",
      "tokenizer.ggml.tokens": tokens,
      "tokenizer.ggml.scores": scores,
      "tokenizer.ggml.token_type": types,
      "tokenizer.ggml.add_space_prefix": addSpacePrefix,
      ...fields,
    };
    writeFileSync(path, ggufBytes(metadata));
    body(loadTokenizer(path, description)!);
  });
}

// `more`, of a type, behind the vocabulary's tokens.
function grown(vocabulary: Vocabulary, more: readonly string[], type: number): Vocabulary {
  const { tokens, scores, types } = vocabulary;
  return {
    ...vocabulary,
    tokens: [...tokens, ...more],
    scores: [...scores, ...more.map(() => 0)],
    types: [...types, ...more.map(() => type)],
  };
}

function streamed(tokenizer: Tokenizer, ids: readonly number[]): string[] {
  const stream = tokenizer.stream();
  return [...ids.map((id) => stream.push(id)), stream.end()];
}

function checkCases(tokenizer: Tokenizer, cases: readonly Case[]): void {
  assert(cases.length > 10);
  for (const { text, ids, decoded } of cases) {
    assertEquals(tokenizer.encode(text), ids, JSON.stringify(text));
    assertEquals(tokenizer.decode(ids), decoded, JSON.stringify(text));
    assertEquals(streamed(tokenizer, ids).join(""), decoded, JSON.stringify(text));
  }
}

test("a GGUF file's SentencePiece vocabulary gives the tokens and texts of sentencepiece", () => {
  withVocabulary(llama, (tokenizer) => {
    checkCases(tokenizer, llama.cases);
    for (const { text, decoded } of llama.cases) assertEquals(decoded, text.replaceAll("▁", " "));
  });
});

test("a vocabulary without bytes has one unknown token for all unknown characters in a row", () => {
  withVocabulary(bare, (tokenizer) => {
    // SentencePiece writes U+2047 for an unknown token, which here, as a special one, has no text.
    const known = bare.cases.map((each) => ({
      ...each,
      decoded: each.decoded.replaceAll(" ⁇ ", ""),
    }));
    checkCases(tokenizer, known);
    assert(bare.cases.some(({ ids }) => ids.includes(0)));
  });
});

test("a tokenizer.json of SentencePiece's kind gives the tokens and texts of tokenizers", () => {
  withFolder((folder) => {
    writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(tokenizerJson.json));
    checkCases(loadTokenizer(folder, withoutBos)!, tokenizerJson.cases);
  });
});

test("random texts come back, and their streams never split a character", () => {
  const letters = [..."ab 東京é👍🏽\u200d\n\tthe and of "];
  let seed = 1;
  const next = (below: number) => (seed = seed * 48271 % 0x7FFFFFFF) % below;
  withVocabulary(llama, (tokenizer) => {
    for (let run = 0; run < 200; run++) {
      const text = Array.from({ length: next(60) }, () => letters[next(letters.length)]).join("");
      const ids = tokenizer.encode(text);
      assertEquals(tokenizer.decode(ids), text);
      const pieces = streamed(tokenizer, ids);
      assertEquals(pieces.join(""), text);
      for (const piece of pieces) assert(piece.isWellFormed() && !piece.includes("\ufffd"));
    }
  });
});

test("special tokens are found in text, and what follows them begins as a text does", () => {
  const more = ["<|user|>", "<|user|>+", "[a-z]"];
  const first = llama.tokens.length;
  const vocabulary = grown(llama, more, 4);
  const of = (tokenizer: Tokenizer, text: string) =>
    tokenizer.encode(text).map((id) => vocabulary.tokens[id]).join("|");
  withVocabulary(vocabulary, (tokenizer) => {
    assertEquals(of(tokenizer, "<s>the<|user|>the</s>"), "<s>|▁the|<|user|>|▁the|</s>");
    assertEquals(tokenizer.encode("<|user|>+<|user|>[a-z]"), [first + 1, first, first + 2]);
    assertEquals(tokenizer.decode([first, first + 2]), "<|user|>[a-z]");
    assertEquals(tokenizer.decode([1, 2, 0]), "");
  });
});

test("a text that continues another has no space of its own before it", () => {
  withVocabulary(llama, (tokenizer) => {
    const whole = tokenizer.encode("the cache");
    assertEquals([...tokenizer.encode("the"), ...tokenizer.encode(" cache", false)], whole);
    assertEquals(tokenizer.encode("the cache", false, false), whole);
    assertEquals(tokenizer.encode(""), []);
  });
});

test("bos comes first where the model asks for it, once", () => {
  const description = { ...model, addBos: true, bos: 1 };
  withVocabulary(
    llama,
    (tokenizer) => {
      assertEquals(tokenizer.encode("the")[0], 1);
      assertEquals(tokenizer.encode("<s>the"), tokenizer.encode("the"));
      assertEquals(tokenizer.encode("the", false)[0] === 1, false);
    },
    {},
    description,
  );
});

test("pairs of one score are joined from the left, and unused tokens never", () => {
  const tokens = ["<unk>", "a", "aa", "aaa", "aaaa"];
  const vocabulary: Vocabulary = {
    ...{ tokens, scores: [0, -9, -1, -1, -1], types: [2, 1, 1, 1, 5], cases: [] },
    addSpacePrefix: false,
  };
  withVocabulary(vocabulary, (tokenizer) => {
    assertEquals(tokenizer.encode("aaaaa"), [3, 2]);
    assertEquals(tokenizer.encode("aaaa"), [3, 1]);
  });
});

test("a long text of one letter takes no longer than its length asks for", () => {
  withVocabulary(llama, (tokenizer) => {
    const text = "x".repeat(200_000);
    assertEquals(tokenizer.decode(tokenizer.encode(text)), text);
  });
});

const refused: [Metadata, string][] = [
  [{ "tokenizer.ggml.scores": "none" }, "tokenizer.ggml.scores"],
  [{ "tokenizer.ggml.scores": [0, 1] }, "tokenizer.ggml.scores"],
  [{ "tokenizer.ggml.token_type": [1] }, "tokenizer.ggml.token_type"],
  [{ "tokenizer.ggml.tokens": 3 }, "tokenizer.ggml.tokens"],
  [{ "tokenizer.ggml.unknown_token_id": 100_000 }, "unknown_token_id 100000"],
  [{ "tokenizer.ggml.token_type": llama.types.map(() => 6) }, "byte token 0"],
];

for (const [at, [fields, word]] of refused.entries()) {
  test(`loadTokenizer() refuses a broken SentencePiece vocabulary (${at}) by ${word}`, () => {
    const error = assertThrows(() => withVocabulary(llama, () => {}, fields));
    assertInstanceOf(error, SpecacheError);
    assertEquals(error.code, "file");
    assertStringIncludes(error.message, word);
  });
}

test("bytes of tokens, put together, are those of the text and the space before it", () => {
  const check = (tokenizer: Tokenizer, cases: readonly Case[]) => {
    for (const { ids, decoded } of cases) {
      const bytes = ids.map((id) => tokenizer.bytes(id)).join("");
      if (ids.length > 0) assertEquals(bytes, byteLevelOf(` ${decoded}`));
    }
  };
  withVocabulary(llama, (tokenizer) => check(tokenizer, llama.cases));
  withFolder((folder) => {
    writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(tokenizerJson.json));
    check(loadTokenizer(folder, withoutBos)!, tokenizerJson.cases);
  });
});
