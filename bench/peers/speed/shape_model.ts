// shape_model.ts - a GGUF file of random weights in the shape of Llama-3.2-1B, Q8_0, 1.3 GB, for
// both sides to load. Its vocabulary is SmolLM2's, filled up: nobody reads what it says.
import { closeSync, existsSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { cacheHome } from "../../../ffi/home.ts";
import { type GgufValue, readGguf } from "../../../engine/model/gguf.ts";
import { smollm2 } from "../../../tools/smollm2.ts";
import { noise } from "../../walk.ts";

/** The sizes. */
export const LLAMA_1B = {
  ...{ layers: 16, kvHeads: 8, queryHeads: 32, headDim: 64 },
  ...{ hidden: 2048, intermediate: 8192, vocabulary: 128_256, contextTokens: 1 << 18 },
};
const [F32, Q8_0] = [0, 8];
const ALIGNMENT = 32;
const BLOCK_VALUES = 32;
const BLOCK_BYTES = 34; // 16 bits of scale, 32 numbers
const SCALE = 0x0c00; // 2^-12 as 16 bits: weights of standard deviation .02
const CHUNK = 1 << 16; // blocks of random numbers, used again and again from another place on

interface Tensor {
  readonly name: string;
  readonly rows: number; // 0: a vector of ones
  readonly columns: number;
}

/** Path of the file, in the cache folder; written where it is not there. */
export async function shapeModel(): Promise<string> {
  const folder = join(cacheHome(), "peers-speed-shape");
  const path = join(folder, "llama-3.2-1b-shape-q8_0.gguf");
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  console.error(`Writing ${path}`);
  const tensors = tensorsOf();
  const header = headerOf(tensors, readGguf(await smollm2()).metadata);
  const file = openSync(`${path}.new`, "w");
  try {
    writeSync(file, header);
    writeSync(file, new Uint8Array(aligned(header.length) - header.length));
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

const aligned = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

function bytesOf({ rows, columns }: Tensor): number {
  return rows === 0 ? columns * 4 : rows * columns / BLOCK_VALUES * BLOCK_BYTES;
}

function writeTensor(file: number, tensor: Tensor, seed: number): void {
  const bytes = bytesOf(tensor);
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

function headerOf(
  tensors: readonly Tensor[],
  vocabularyOf: ReadonlyMap<string, GgufValue>,
): Uint8Array {
  const parts: Uint8Array[] = [];
  const numbers = (bytes: number, set: (view: DataView) => void) => {
    const part = new Uint8Array(bytes);
    set(new DataView(part.buffer));
    parts.push(part);
  };
  const u32 = (value: number) => numbers(4, (view) => view.setUint32(0, value, true));
  const u64 = (value: number) => numbers(8, (view) => view.setBigUint64(0, BigInt(value), true));
  const text = (value: string) => {
    const bytes = new TextEncoder().encode(value);
    u64(bytes.length);
    parts.push(bytes);
  };
  const kinds = {
    u32: { type: 4, write: (value: unknown) => u32(value as number) },
    i32: { type: 5, write: (value: unknown) => u32(value as number) },
    f32: {
      type: 6,
      write: (value: unknown) => numbers(4, (view) => view.setFloat32(0, value as number, true)),
    },
    text: { type: 8, write: (value: unknown) => text(value as string) },
  };
  const metadata = metadataOf(vocabularyOf);
  u32(0x46554747); // GGUF
  u32(3);
  u64(tensors.length);
  u64(metadata.length);
  for (const { name, kind, value } of metadata) {
    text(name);
    const { type, write } = kinds[kind];
    if (Array.isArray(value)) {
      u32(9);
      u32(type);
      u64(value.length);
      value.forEach(write);
    } else {
      u32(type);
      write(value);
    }
  }
  let at = 0;
  for (const tensor of tensors) {
    const { name, rows, columns } = tensor;
    text(name);
    u32(rows === 0 ? 1 : 2);
    u64(columns);
    if (rows > 0) u64(rows);
    u32(rows === 0 ? F32 : Q8_0);
    u64(at);
    at += aligned(bytesOf(tensor));
  }
  const header = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    header.set(part, offset);
    offset += part.length;
  }
  return header;
}

interface Field {
  readonly name: string;
  readonly kind: "u32" | "i32" | "f32" | "text";
  readonly value: unknown;
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
