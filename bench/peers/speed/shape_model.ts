// shape_model.ts - a GGUF file of random weights in the shape of Llama-3.2-1B, Q8_0, 1.3 GB, for
// both sides to load. Its vocabulary is SmolLM2's, filled up: nobody reads what it says.
import { closeSync, existsSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { cacheHome } from "../../../ffi/home.ts";
import { type GgufValue, readGguf } from "../../../engine/model/gguf.ts";
import { smollm2 } from "../../../tools/smollm2.ts";
import { noise } from "../../walk.ts";
import {
  aligned,
  BLOCK_BYTES,
  BLOCK_VALUES,
  type Field,
  ggufHeader,
  type Tensor,
  tensorBytes,
} from "./gguf_writer.ts";

/** The sizes. */
export const LLAMA_1B = {
  ...{ layers: 16, kvHeads: 8, queryHeads: 32, headDim: 64 },
  ...{ hidden: 2048, intermediate: 8192, vocabulary: 128_256, contextTokens: 1 << 18 },
};
const SCALE = 0x0c00; // 2^-12 as 16 bits: weights of standard deviation .01
const CHUNK = 1 << 16; // blocks of random numbers, used again and again from another place on

/** Path of the file, in the cache folder; written where it is not there. */
export async function shapeModel(): Promise<string> {
  const folder = join(cacheHome(), "peers-speed-shape");
  const path = join(folder, "llama-3.2-1b-shape-q8_0.gguf");
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  console.error(`Writing ${path}`);
  const tensors = tensorsOf();
  const vocabulary = readGguf(await smollm2()).metadata;
  const header = ggufHeader(metadataOf(vocabulary), tensors);
  const file = openSync(`${path}.new`, "w");
  try {
    writeSync(file, header);
    for (const [at, tensor] of tensors.entries()) writeTensor(file, tensor, at);
  } finally {
    closeSync(file);
  }
  renameSync(`${path}.new`, path);
  return path;
}

function tensorsOf(): Tensor[] {
  const { layers, kvHeads, headDim, hidden, intermediate, vocabulary } = LLAMA_1B;
  const kv = kvHeads * headDim;
  return [
    { name: "token_embd.weight", rows: vocabulary, columns: hidden },
    { name: "output_norm.weight", rows: 0, columns: hidden },
    ...Array.from({ length: layers }, (_, layer) =>
      [
        { name: "attn_norm", rows: 0, columns: hidden },
        { name: "attn_q", rows: hidden, columns: hidden },
        { name: "attn_k", rows: kv, columns: hidden },
        { name: "attn_v", rows: kv, columns: hidden },
        { name: "attn_output", rows: hidden, columns: hidden },
        { name: "ffn_norm", rows: 0, columns: hidden },
        { name: "ffn_gate", rows: intermediate, columns: hidden },
        { name: "ffn_up", rows: intermediate, columns: hidden },
        { name: "ffn_down", rows: hidden, columns: intermediate },
      ].map((tensor) => ({ ...tensor, name: `blk.${layer}.${tensor.name}.weight` }))).flat(),
  ];
}

function writeTensor(file: number, tensor: Tensor, seed: number): void {
  const bytes = tensorBytes(tensor);
  if (tensor.rows === 0) {
    writeSync(file, new Uint8Array(new Float32Array(tensor.columns).fill(1).buffer));
  } else {
    const start = seed * 997 % CHUNK * BLOCK_BYTES; // whole blocks
    for (let done = 0; done < bytes;) {
      const from = done === 0 ? start : 0;
      done += writeSync(file, blocks, from, Math.min(blocks.length - from, bytes - done));
    }
  }
  writeSync(file, new Uint8Array(aligned(bytes) - bytes));
}

const blocks = randomBlocks();

function randomBlocks(): Uint8Array {
  const bytes = new Uint8Array(CHUNK * BLOCK_BYTES);
  const numbers = noise(CHUNK * BLOCK_VALUES, 5);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < CHUNK; block++) {
    view.setUint16(block * BLOCK_BYTES, SCALE, true);
    for (let i = 0; i < BLOCK_VALUES; i++) {
      const number = Math.round(40 * numbers[block * BLOCK_VALUES + i]);
      view.setInt8(block * BLOCK_BYTES + 2 + i, Math.max(-127, Math.min(127, number)));
    }
  }
  return bytes;
}

function metadataOf(vocabularyOf: ReadonlyMap<string, GgufValue>): Field[] {
  const { layers, kvHeads, queryHeads, headDim, hidden, intermediate, vocabulary } = LLAMA_1B;
  const field = (name: string, kind: Field["kind"], value: unknown): Field => (
    { name, kind, value }
  );
  const tokens = vocabularyOf.get("tokenizer.ggml.tokens") as string[];
  const types = vocabularyOf.get("tokenizer.ggml.token_type") as number[];
  const filled = <T>(list: readonly T[], more: (id: number) => T) =>
    Array.from({ length: vocabulary }, (_, id) => id < list.length ? list[id] : more(id));
  return [
    field("general.architecture", "text", "llama"),
    field("general.name", "text", "random weights, Llama-3.2-1B's shape"),
    field("general.quantization_version", "u32", 2),
    field("general.file_type", "u32", 7),
    field("llama.block_count", "u32", layers),
    field("llama.context_length", "u32", LLAMA_1B.contextTokens),
    field("llama.embedding_length", "u32", hidden),
    field("llama.feed_forward_length", "u32", intermediate),
    field("llama.attention.head_count", "u32", queryHeads),
    field("llama.attention.head_count_kv", "u32", kvHeads),
    field("llama.attention.layer_norm_rms_epsilon", "f32", 1e-5),
    field("llama.rope.dimension_count", "u32", headDim),
    field("llama.rope.freq_base", "f32", 500_000),
    field("llama.vocab_size", "u32", vocabulary),
    field("tokenizer.ggml.model", "text", "gpt2"),
    field("tokenizer.ggml.pre", "text", vocabularyOf.get("tokenizer.ggml.pre")),
    field("tokenizer.ggml.tokens", "text", filled(tokens, (id) => `<filled ${id}>`)),
    field("tokenizer.ggml.token_type", "i32", filled(types, () => 5)), // 5: unused
    field("tokenizer.ggml.merges", "text", vocabularyOf.get("tokenizer.ggml.merges")),
    field("tokenizer.ggml.bos_token_id", "u32", 1),
    field("tokenizer.ggml.eos_token_id", "u32", 2),
  ];
}
