// gguf_model.ts - a GGUF file's metadata as a model.
import { basename } from "node:path";
import type { ModelDescription, ModelShape } from "./describe.ts";
import { broken, unsupported } from "./faults.ts";
import { type Gguf, readGguf } from "./gguf.ts";
import { type Fields, fieldsOf } from "./gguf_fields.ts";
import { ggufRope } from "./gguf_rope.ts";
import { llama3PreTokenizers } from "./gguf_tokenizer.ts";
import { inputBiases, type Names, placeTensors, type Role } from "./tensors.ts";

interface Family {
  readonly architecture: string;
  /** llama.cpp stores Llama's (and Mistral's) q and k rows so that neighbouring pairs turn. */
  readonly neighbours: boolean;
  readonly norms: boolean;
  readonly biases: readonly Role[];
}

// Mistral's files call themselves llama.
const families = new Map<string, Family>([
  ["llama", { architecture: "LlamaForCausalLM", neighbours: true, norms: false, biases: [] }],
  ["qwen2", {
    architecture: "Qwen2ForCausalLM",
    neighbours: false,
    norms: false,
    biases: inputBiases,
  }],
  ["qwen3", { architecture: "Qwen3ForCausalLM", neighbours: false, norms: true, biases: [] }],
]);

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
  const name = String(gguf.metadata.get("general.architecture"));
  const family = families.get(name);
  if (family === undefined) {
    unsupported(path, `architecture ${name} is none of ${[...families.keys()].join(", ")}`);
  }
  const fields = fieldsOf(path, name, gguf);
  refuseUnsupported(path, gguf, fields);
  const shape = shapeOf(path, gguf, family, fields);
  return placeTensors(shape, gguf.tensors, path, family.biases, ggufNames);
}

function refuseUnsupported(path: string, { metadata }: Gguf, { get, whole }: Fields): void {
  const parts = metadata.get("split.count");
  if (typeof parts === "number" && parts > 1) {
    unsupported(path, `split.count ${parts}: a model in several files`);
  }
  // Zero experts, and a window of zero, are how files say that there are none.
  const set = (name: string) => Number(get(name) ?? 0) !== 0;
  if (set("expert_count")) {
    unsupported(path, `expert_count ${whole("expert_count")}: mixtures of experts`);
  }
  if (!set("attention.sliding_window")) return;
  const window = whole("attention.sliding_window");
  const positions = whole("context_length");
  if (window < positions) {
    unsupported(path, `sliding_window ${window} is below context_length ${positions}`);
  }
}

function shapeOf(path: string, gguf: Gguf, family: Family, fields: Fields): ModelShape {
  const { metadata, tensors } = gguf;
  const { whole } = fields;
  const hidden = whole("embedding_length");
  const queryHeads = whole("attention.head_count");
  const kvHeads = whole("attention.head_count_kv", queryHeads);
  if (queryHeads % kvHeads !== 0) {
    broken(path, `head_count ${queryHeads} is not a multiple of head_count_kv ${kvHeads}`);
  }
  const headDim = whole("attention.key_length", Math.floor(hidden / queryHeads));
  for (const name of ["attention.value_length", "rope.dimension_count"]) {
    const size = whole(name, headDim);
    if (size !== headDim) unsupported(path, `${name} ${size} is not the head size ${headDim}`);
  }
  const rope = ggufRope(path, gguf, headDim, fields);
  const eos = [tokenId(gguf, "eos_token_id"), tokenId(gguf, "eot_token_id")];
  const bos = tokenId(gguf, "bos_token_id");
  return {
    name: String(metadata.get("general.name") ?? basename(path)),
    architecture: family.architecture,
    layers: whole("block_count"),
    queryHeads,
    kvHeads,
    headDim,
    hidden,
    intermediate: whole("feed_forward_length"),
    vocabulary: tensors.get("token_embd.weight")?.shape[0] ?? whole("vocab_size"),
    epsilon: fields.positive("attention.layer_norm_rms_epsilon"),
    tokensMax: whole("context_length"),
    ropeNeighbours: family.neighbours,
    ropeMagnitude: rope.magnitude,
    frequencies: rope.frequencies,
    queryKeyNorms: family.norms,
    tied: !tensors.has("output.weight"),
    bos,
    eos: [...new Set(eos.filter((id) => id !== null))],
    addBos: bos !== null && addsBos(gguf),
  };
}

function tokenId({ metadata }: Gguf, name: string): number | null {
  const id = metadata.get(`tokenizer.ggml.${name}`);
  return typeof id === "number" ? id : null;
}

// Where a file does not say, llama.cpp adds bos to SentencePiece and Llama 3 vocabularies.
function addsBos({ metadata }: Gguf): boolean {
  const said = metadata.get("tokenizer.ggml.add_bos_token");
  if (typeof said === "boolean") return said;
  return metadata.get("tokenizer.ggml.model") === "llama" ||
    llama3PreTokenizers.includes(String(metadata.get("tokenizer.ggml.pre")));
}
