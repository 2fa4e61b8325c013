// gguf.test.ts - GGUF files made here: the families, their rope, and what is refused.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { SpecacheError } from "../../engine/errors.ts";
import { describeModel, type ModelDescription } from "../../engine/model/describe.ts";
import {
  assertAlmostEquals,
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
  assertThrows,
  test,
} from "../harness.ts";
import { ggufBytes, type Metadata, type TestTensor, withFolder } from "./files.ts";

// One layer, two heads of 16 on one KV head, vocabulary of 8.
const tensors: Record<string, TestTensor> = {
  "token_embd.weight": { shape: [8, 32] },
  "output_norm.weight": { shape: [32] },
  "blk.0.attn_norm.weight": { shape: [32] },
  "blk.0.attn_q.weight": { shape: [32, 32] },
  "blk.0.attn_k.weight": { shape: [16, 32] },
  "blk.0.attn_v.weight": { shape: [16, 32] },
  "blk.0.attn_output.weight": { shape: [32, 32] },
  "blk.0.ffn_norm.weight": { shape: [32] },
  "blk.0.ffn_gate.weight": { shape: [64, 32] },
  "blk.0.ffn_up.weight": { shape: [64, 32] },
  "blk.0.ffn_down.weight": { shape: [32, 64] },
};
const biases: Record<string, TestTensor> = {
  "blk.0.attn_q.bias": { shape: [32] },
  "blk.0.attn_k.bias": { shape: [16] },
  "blk.0.attn_v.bias": { shape: [16] },
};
const norms: Record<string, TestTensor> = {
  "blk.0.attn_q_norm.weight": { shape: [16] },
  "blk.0.attn_k_norm.weight": { shape: [16] },
};

function metadataOf(family: string, fields: Metadata): Metadata {
  const standard: Metadata = {
    context_length: 512,
    embedding_length: 32,
    block_count: 1,
    feed_forward_length: 64,
    "attention.head_count": 2,
    "attention.head_count_kv": 1,
    "attention.layer_norm_rms_epsilon": 0.5,
  };
  const named = Object.entries({ ...standard, ...fields })
    .map(([name, value]) => [name.startsWith("/") ? name.slice(1) : `${family}.${name}`, value]);
  return { "general.architecture": family, ...Object.fromEntries(named) };
}

// A name that begins with "/" is one outside the family.
function describe(
  family: string,
  fields: Metadata = {},
  more: Record<string, TestTensor> = {},
): ModelDescription {
  let description: ModelDescription | undefined;
  withFolder((folder) => {
    const path = join(folder, "model.gguf");
    writeFileSync(path, ggufBytes(metadataOf(family, fields), { ...tensors, ...more }));
    description = describeModel(path);
  });
  return description!;
}

test("the families of GGUF differ in row order, biases and norms", () => {
  const llama = describe("llama");
  assertEquals([llama.architecture, llama.ropeNeighbours], ["LlamaForCausalLM", true]);
  assertEquals([llama.headDim, llama.vocabulary, llama.epsilon, llama.tied], [16, 8, 0.5, true]);
  const qwen2 = describe("qwen2", {}, biases);
  assertEquals([qwen2.architecture, qwen2.ropeNeighbours], ["Qwen2ForCausalLM", false]);
  assertEquals(qwen2.tensors.length, 11 + 3);
  const qwen3 = describe("qwen3", {}, norms);
  assertEquals([qwen3.architecture, qwen3.ropeNeighbours], ["Qwen3ForCausalLM", false]);
  assertEquals([qwen3.queryKeyNorms, llama.queryKeyNorms], [true, false]);
});

test("linear scaling is read in its newer and older spelling", () => {
  const newer = describe("llama", { "rope.scaling.type": "linear", "rope.scaling.factor": 4 });
  const older = describe("llama", { "rope.scale_linear": 4 });
  assertEquals(newer.frequencies[0], 0.25);
  assertEquals(older.frequencies, newer.frequencies);
});

test("yarn's attn_factor multiplies yarn's own magnitude", () => {
  const yarn: Metadata = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 4,
    "rope.scaling.original_context_length": 64,
  };
  const own = 0.1 * Math.log(4) + 1;
  assertAlmostEquals(describe("llama", yarn).ropeMagnitude, own, 1e-15);
  const scaled = describe("llama", { ...yarn, "rope.scaling.attn_factor": 0.5 });
  assertAlmostEquals(scaled.ropeMagnitude, own / 2, 1e-15);
});

test("end tokens are eos and eot, each once; bos is added where file or kind says so", () => {
  const ids: Metadata = { "/tokenizer.ggml.bos_token_id": 1, "/tokenizer.ggml.eos_token_id": 2 };
  assertEquals(describe("llama", { ...ids, "/tokenizer.ggml.eot_token_id": 2 }).eos, [2]);
  assertEquals(describe("llama", { ...ids, "/tokenizer.ggml.eot_token_id": 3 }).eos, [2, 3]);
  const addBos = (more: Metadata) => describe("llama", { ...ids, ...more }).addBos;
  assertEquals(addBos({ "/tokenizer.ggml.model": "gpt2" }), false);
  assertEquals(addBos({ "/tokenizer.ggml.model": "llama" }), true);
  assertEquals(addBos({ "/tokenizer.ggml.pre": "llama-bpe" }), true);
  const said = { "/tokenizer.ggml.pre": "llama-bpe", "/tokenizer.ggml.add_bos_token": false };
  assertEquals(addBos(said), false);
});

test("a window of zero, one as long as the context, and zero experts are none", () => {
  assertEquals(describe("llama", { "attention.sliding_window": 0, expert_count: 0 }).layers, 1);
  assertEquals(describe("llama", { "attention.sliding_window": 512 }).layers, 1);
});

// Metadata, tensors, code, words of the error; all of them on a llama.
const refused: [string, Metadata, Record<string, TestTensor>, string, string][] = [
  ["a window", { "attention.sliding_window": 511 }, {}, "unsupported", "sliding_window 511"],
  ["experts", { expert_count: 8 }, {}, "unsupported", "expert_count 8"],
  ["a model in parts", { "/split.count": 2 }, {}, "unsupported", "split.count 2"],
  ["a part of rope", { "rope.dimension_count": 8 }, {}, "unsupported", "dimension_count 8"],
  ["other value heads", { "attention.value_length": 8 }, {}, "unsupported", "value_length 8"],
  [
    "longrope",
    { "rope.scaling.type": "longrope", "rope.scaling.factor": 2 },
    {},
    "unsupported",
    "longrope",
  ],
  ["heads by layer", { "attention.head_count_kv": [1, 2] }, {}, "unsupported", "head_count_kv"],
  ["norms that llama lacks", {}, norms, "unsupported", "attn_q_norm"],
  ["no heads", { "attention.head_count": 0 }, {}, "file", "head_count 0"],
  ["half a layer", { block_count: 1.5 }, {}, "file", "block_count 1.5"],
  ["text as a size", { embedding_length: "32" }, {}, "file", "embedding_length 32"],
  ["3 KV heads of 2", { "attention.head_count_kv": 3 }, {}, "file", "head_count_kv 3"],
  ["a wrong shape", {}, { "output_norm.weight": { shape: [31] } }, "file", "output_norm.weight"],
  ["five dimensions", {}, { more: { shape: [1, 1, 1, 1, 1] } }, "file", "tensor more"],
  ["alignment 12", { "/general.alignment": 12 }, {}, "file", "alignment 12"],
  [
    "a divisor of zero",
    {},
    { "rope_freqs.weight": { shape: [8], values: [1, 0, 1, 1, 1, 1, 1, 1] } },
    "file",
    "rope_freqs.weight has 0 at 1",
  ],
  ["too few divisors", {}, { "rope_freqs.weight": { shape: [4] } }, "file", "rope_freqs.weight"],
  [
    "Q4_K",
    {},
    { "output.weight": { shape: [8, 32], type: 12, bytes: 144 } },
    "file",
    "blocks of 256",
  ],
  [
    "Q5_0",
    {},
    { "output.weight": { shape: [8, 32], type: 6, bytes: 8 * 22 } },
    "unsupported",
    "Q5_0",
  ],
];

for (const [name, fields, more, code, word] of refused) {
  test(`describeModel() refuses a GGUF file with ${name}`, () => {
    const error = assertThrows(() => describe("llama", fields, more));
    assertInstanceOf(error, SpecacheError);
    assertStringIncludes(error.message, word);
    assertEquals(error.code, code);
  });
}

test("a missing number, a missing bias and a family called constructor are named", () => {
  withFolder((folder) => {
    const path = join(folder, "model.gguf");
    const message = (metadata: Metadata) => {
      writeFileSync(path, ggufBytes(metadata, tensors));
      return assertThrows(() => describeModel(path), SpecacheError).message;
    };
    const { "llama.block_count": _, ...rest } = metadataOf("llama", {});
    assertStringIncludes(message(rest), "llama.block_count is missing");
    assertStringIncludes(message(metadataOf("qwen2", {})), "blk.0.attn_q.bias is missing");
    assertStringIncludes(message(metadataOf("constructor", {})), "architecture constructor");
  });
});

test("every beginning of a GGUF file is refused with a SpecacheError", () => {
  withFolder((folder) => {
    const path = join(folder, "model.gguf");
    const whole = ggufBytes(metadataOf("llama", { "/tokenizer.ggml.tokens": ["a", "b"] }), tensors);
    for (let size = 0; size < whole.length; size += size < 1600 ? 7 : 997) {
      writeFileSync(path, whole.subarray(0, size));
      assertInstanceOf(assertThrows(() => describeModel(path)), SpecacheError, `${size} bytes`);
    }
  });
});

test("two tensors in one place are refused", () => {
  withFolder((folder) => {
    const path = join(folder, "model.gguf");
    const bytes = ggufBytes(metadataOf("llama", {}), tensors);
    // A name is followed by dimensions (4 bytes), these (8 each), type (4) and offset (8).
    const name = "blk.0.ffn_up.weight";
    const offset = bytes.indexOf(name) + name.length + 4 + 2 * 8 + 4;
    bytes.writeBigUInt64LE(bytes.readBigUInt64LE(offset) - 64n, offset);
    writeFileSync(path, bytes);
    const error = assertThrows(() => describeModel(path), SpecacheError);
    assertStringIncludes(error.message, name);
  });
});
