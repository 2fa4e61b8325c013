// tensors.ts - names of tensors to their roles, with shapes checked against the config.
import type { ModelDescription, ModelShape, TensorPlace } from "./describe.ts";
import { broken, unsupported } from "./faults.ts";
import { roles } from "./roles.ts";
import type { StoredTensor } from "./safetensors.ts";

/** What a tensor is for. */
export type Role = keyof typeof roles;

/** Biases of the attention's inputs, which Qwen2 always has. */
export const inputBiases: readonly Role[] = ["queryBias", "keyBias", "valueBias"];

/** What a role is called in a family of files; `{}` stands for the layer. */
export type Names = Readonly<Record<Role, string>>;

/** Names of transformers. */
export const transformersNames: Names = {
  embedding: "model.embed_tokens.weight",
  outputNorm: "model.norm.weight",
  output: "lm_head.weight",
  attentionNorm: "model.layers.{}.input_layernorm.weight",
  query: "model.layers.{}.self_attn.q_proj.weight",
  key: "model.layers.{}.self_attn.k_proj.weight",
  value: "model.layers.{}.self_attn.v_proj.weight",
  attentionOutput: "model.layers.{}.self_attn.o_proj.weight",
  queryBias: "model.layers.{}.self_attn.q_proj.bias",
  keyBias: "model.layers.{}.self_attn.k_proj.bias",
  valueBias: "model.layers.{}.self_attn.v_proj.bias",
  attentionOutputBias: "model.layers.{}.self_attn.o_proj.bias",
  queryNorm: "model.layers.{}.self_attn.q_norm.weight",
  keyNorm: "model.layers.{}.self_attn.k_norm.weight",
  mlpNorm: "model.layers.{}.post_attention_layernorm.weight",
  mlpGate: "model.layers.{}.mlp.gate_proj.weight",
  mlpUp: "model.layers.{}.mlp.up_proj.weight",
  mlpDown: "model.layers.{}.mlp.down_proj.weight",
  mlpGateBias: "model.layers.{}.mlp.gate_proj.bias",
  mlpUpBias: "model.layers.{}.mlp.up_proj.bias",
  mlpDownBias: "model.layers.{}.mlp.down_proj.bias",
};

const wholeModel: readonly Role[] = ["embedding", "outputNorm", "output"];

function shapeOf(role: Role, shape: ModelShape): number[] {
  const { hidden, intermediate, vocabulary, headDim } = shape;
  const queries = shape.queryHeads * headDim;
  const keys = shape.kvHeads * headDim;
  const shapes: Record<Role, number[]> = {
    embedding: [vocabulary, hidden],
    outputNorm: [hidden],
    output: [vocabulary, hidden],
    attentionNorm: [hidden],
    query: [queries, hidden],
    key: [keys, hidden],
    value: [keys, hidden],
    attentionOutput: [hidden, queries],
    queryBias: [queries],
    keyBias: [keys],
    valueBias: [keys],
    attentionOutputBias: [hidden],
    queryNorm: [headDim],
    keyNorm: [headDim],
    mlpNorm: [hidden],
    mlpGate: [intermediate, hidden],
    mlpUp: [intermediate, hidden],
    mlpDown: [hidden, intermediate],
    mlpGateBias: [intermediate],
    mlpUpBias: [intermediate],
    mlpDownBias: [hidden],
  };
  return shapes[role];
}

function isNeeded(role: Role, shape: ModelShape, biases: readonly Role[]): boolean {
  if (role === "output") return !shape.tied;
  if (role === "queryNorm" || role === "keyNorm") return shape.queryKeyNorms;
  return !role.endsWith("Bias") || biases.includes(role);
}

/**
 * Finds every tensor of the model. `path` is what an error about a missing one names, `biases` are
 * those that must be there; others are used where the file has them.
 */
export function placeTensors(
  shape: ModelShape,
  stored: ReadonlyMap<string, StoredTensor>,
  path: string,
  biases: readonly Role[],
  names: Names = transformersNames,
): ModelDescription {
  const tensors: TensorPlace[] = [];
  for (const role of Object.keys(roles) as Role[]) {
    // Files of tied models may hold the embedding a second time as the output.
    if (role === "output" && shape.tied) continue;
    const layers = wholeModel.includes(role) ? 1 : shape.layers;
    for (let layer = 0; layer < layers; layer++) {
      const name = names[role].replace("{}", String(layer));
      const tensor = stored.get(name);
      if (tensor !== undefined) tensors.push(placed(tensor, role, layer, shape));
      else if (isNeeded(role, shape, biases)) broken(path, `tensor ${name} is missing`);
    }
  }
  return { ...shape, tensors };
}

function placed(tensor: StoredTensor, role: Role, layer: number, shape: ModelShape): TensorPlace {
  const { name, path } = tensor;
  if ((role === "queryNorm" || role === "keyNorm") && !shape.queryKeyNorms) {
    unsupported(path, `tensor ${name}: ${shape.architecture} has no norm of queries and keys`);
  }
  if (tensor.type === null) unsupported(path, `tensor ${name} has type ${tensor.typeName}`);
  const wanted = shapeOf(role, shape);
  if (tensor.shape.length !== wanted.length || tensor.shape.some((n, i) => n !== wanted[i])) {
    broken(path, `tensor ${name} is [${tensor.shape}], the config asks for [${wanted}]`);
  }
  const [rows, columns] = wanted.length === 1 ? [1, wanted[0]] : wanted;
  const { type, offset } = tensor;
  return { role: roles[role], layer, type, rows, columns, path, offset, name };
}
