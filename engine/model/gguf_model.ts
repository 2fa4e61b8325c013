// gguf_model.ts - a GGUF file's metadata as a model.
import { closeSync, openSync, readSync } from "node:fs";
import { basename } from "node:path";
import type { ModelDescription, ModelShape } from "./describe.ts";
import { broken, unsupported } from "./faults.ts";
import { type Gguf, readGguf } from "./gguf.ts";
import { type Rope, ropeFrequencies } from "./rope.ts";
import { type Names, placeTensors } from "./tensors.ts";

// llama.cpp stores Llama's (and Mistral's) q and k rows so that neighbouring pairs turn.
const families: Record<string, { architecture: string; neighbours: boolean; norms: boolean }> = {
  llama: { architecture: "LlamaForCausalLM", neighbours: true, norms: false },
  qwen2: { architecture: "Qwen2ForCausalLM", neighbours: false, norms: false },
  qwen3: { architecture: "Qwen3ForCausalLM", neighbours: false, norms: true },
};

const ggufNames: Names = {
  embedding: "token_embd.weight",
  outputNorm: "output_norm.weight",
  output: "output.weight",
  attentionNorm: "blk.{}.attn_norm.weight",
  query: "blk.{}.attn_q.weight",
  key: "blk.{}.attn_k.weight",
  value: "blk.{}.attn_v.weight",
  attentionOutput: "blk.{}.attn_output.weight",
  queryBias: "blk.{}.attn_q.bias",
  keyBias: "blk.{}.attn_k.bias",
  valueBias: "blk.{}.attn_v.bias",
  attentionOutputBias: "blk.{}.attn_output.bias",
  queryNorm: "blk.{}.attn_q_norm.weight",
  keyNorm: "blk.{}.attn_k_norm.weight",
  mlpNorm: "blk.{}.ffn_norm.weight",
  mlpGate: "blk.{}.ffn_gate.weight",
  mlpUp: "blk.{}.ffn_up.weight",
  mlpDown: "blk.{}.ffn_down.weight",
  mlpGateBias: "blk.{}.ffn_gate.bias",
  mlpUpBias: "blk.{}.ffn_up.bias",
  mlpDownBias: "blk.{}.ffn_down.bias",
};

/** Describes the model in a GGUF file. */
export function describeGguf(path: string): ModelDescription {
  const gguf = readGguf(path);
  const family = gguf.metadata.get("general.architecture");
  const known = typeof family === "string" ? families[family] : undefined;
  if (known === undefined) {
    unsupported(
      path,
      `architecture ${String(family)} is none of ${Object.keys(families).join(", ")}`,
    );
  }
  const shape = shapeOf(path, gguf, String(family), known);
  return placeTensors(shape, gguf.tensors, path, ggufNames);
}

function shapeOf(
  path: string,
  gguf: Gguf,
  family: string,
  { architecture, neighbours, norms }: { architecture: string; neighbours: boolean; norms: boolean },
): ModelShape {
  const { metadata, tensors } = gguf;
  const number = (key: string, standard?: number): number => {
    const value = Number(metadata.get(`${family}.${key}`) ?? standard);
    if (Number.isFinite(value) && value > 0) return value;
    return broken(path, `metadata ${family}.${key} ${value} is not a positive number`);
  };
  if (metadata.has(`${family}.attention.sliding_window`)) {
    unsupported(path, "sliding windows are not supported");
  }
  const hidden = number("embedding_length");
  const queryHeads = number("attention.head_count");
  const kvHeads = number("attention.head_count_kv", queryHeads);
  const headDim = number("attention.key_length", hidden / queryHeads);
  if (queryHeads % kvHeads !== 0) {
    broken(path, `head_count ${queryHeads} is not a multiple of head_count_kv ${kvHeads}`);
  }
  const tokensMax = number("context_length");
  const rope = ropeOf(path, gguf, family, headDim, tokensMax, number);
  return {
    name: String(metadata.get("general.name") ?? basename(path)),
    architecture,
    layers: number("block_count"),
    queryHeads,
    kvHeads,
    headDim,
    hidden,
    intermediate: number("feed_forward_length"),
    vocabulary: tensors.get("token_embd.weight")?.shape[0] ?? number("vocab_size"),
    epsilon: number("attention.layer_norm_rms_epsilon"),
    tokensMax,
    ropeNeighbours: neighbours,
    ropeMagnitude: rope.magnitude,
    frequencies: rope.frequencies,
    queryKeyNorms: norms,
    tied: !tensors.has("output.weight"),
    bos: tokenId(gguf, "bos_token_id"),
    eos: [tokenId(gguf, "eos_token_id"), tokenId(gguf, "eot_token_id")].filter((id) => id !== null),
    addBos: metadata.get("tokenizer.ggml.add_bos_token") === true,
  };
}

function tokenId({ metadata }: Gguf, name: string): number | null {
  const id = metadata.get(`tokenizer.ggml.${name}`);
  return typeof id === "number" ? id : null;
}

function ropeOf(
  path: string,
  gguf: Gguf,
  family: string,
  headDim: number,
  tokensMax: number,
  number: (key: string, standard?: number) => number,
): Rope {
  const type = String(gguf.metadata.get(`${family}.rope.scaling.type`) ?? "none");
  const original = gguf.metadata.get(`${family}.rope.scaling.original_context_length`);
  const rope = ropeFrequencies(path, headDim, tokensMax, {
    type: type === "none" ? "default" : type,
    theta: number("rope.freq_base", 10000),
    ...(type === "none" ? {} : { factor: number("rope.scaling.factor") }),
    ...(original === undefined ? {} : { original_max_position_embeddings: Number(original) }),
  });
  const divisors = gguf.tensors.get("rope_freqs.weight");
  if (divisors === undefined) return rope;
  if (divisors.type !== 0 || divisors.shape.length !== 1 || divisors.shape[0] !== headDim / 2) {
    broken(path, `tensor rope_freqs.weight is ${divisors.typeName} [${divisors.shape}]`);
  }
  const bytes = new Uint8Array(headDim / 2 * 4);
  const file = openSync(path, "r");
  try {
    readSync(file, bytes, 0, bytes.length, divisors.offset);
  } finally {
    closeSync(file);
  }
  const view = new DataView(bytes.buffer);
  return {
    magnitude: rope.magnitude,
    frequencies: rope.frequencies.map((f, i) => f / view.getFloat32(4 * i, true)),
  };
}
