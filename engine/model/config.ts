// config.ts - config.json of a folder, in transformers' new and older spelling.
import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import type { ModelShape } from "./describe.ts";
import { broken, shown, unsupported } from "./faults.ts";
import { readJson } from "./json.ts";
import { ropeFrequencies, type RopeScaling } from "./rope.ts";
import { inputBiases, type Role } from "./tensors.ts";

const architectures = [
  "LlamaForCausalLM",
  "MistralForCausalLM",
  "Qwen2ForCausalLM",
  "Qwen3ForCausalLM",
] as const;

type Json = Record<string, unknown>;

/** What config.json says of a model. */
export interface Config {
  readonly shape: ModelShape;
  /** Biases that the model must have. */
  readonly biases: readonly Role[];
}

/** Reads a folder's config.json, and the files beside it that name end tokens and bos. */
export function readConfig(folder: string): Config {
  const path = join(folder, "config.json");
  if (!existsSync(path)) broken(path, "does not exist, which a Hugging Face model's folder has");
  const config = readJson(path);
  const architecture = architectureOf(path, config);
  refuseUnsupported(path, config, architecture);
  const whole = (name: string, standard?: number) => count(path, config, name, standard);
  const hidden = whole("hidden_size");
  const queryHeads = whole("num_attention_heads");
  const kvHeads = whole("num_key_value_heads", queryHeads);
  if (queryHeads % kvHeads !== 0) {
    broken(
      path,
      `num_attention_heads ${queryHeads} is not a multiple of num_key_value_heads ${kvHeads}`,
    );
  }
  const qwen3 = architecture === "Qwen3ForCausalLM";
  const headDim = whole("head_dim", qwen3 ? 128 : Math.floor(hidden / queryHeads));
  const tokensMax = whole("max_position_embeddings");
  const rope = ropeFrequencies(path, headDim, tokensMax, ropeOf(path, config));
  const bos = typeof config.bos_token_id === "number" ? config.bos_token_id : null;
  const shape = {
    name: basename(resolve(folder)),
    architecture,
    layers: whole("num_hidden_layers"),
    queryHeads,
    kvHeads,
    headDim,
    hidden,
    intermediate: whole("intermediate_size"),
    vocabulary: whole("vocab_size"),
    epsilon: positive(path, config, "rms_norm_eps", 1e-6),
    tokensMax,
    ropeNeighbours: false,
    ropeMagnitude: rope.magnitude,
    frequencies: rope.frequencies,
    queryKeyNorms: qwen3,
    tied: config.tie_word_embeddings === true,
    bos,
    eos: endTokens(folder, config),
    addBos: bos !== null && addsBos(folder, bos),
  };
  return { shape, biases: biasesOf(config, architecture) };
}

function architectureOf(path: string, config: Json): string {
  const list = Array.isArray(config.architectures) ? config.architectures : [];
  const known = architectures.find((name) => name === list[0]);
  if (known !== undefined) return known;
  const name = list[0] ?? config.model_type ?? "none";
  return unsupported(path, `architecture ${shown(name)} is none of ${architectures.join(", ")}`);
}

function count(
  path: string,
  config: Json,
  name: string,
  standard?: number,
): number {
  const value = config[name] ?? standard;
  if (value === undefined) broken(path, `${name} is missing`);
  if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value < 2 ** 31) {
    return value;
  }
  return broken(path, `${name} ${JSON.stringify(value)} is not a whole number of 1 or more`);
}

function positive(
  path: string,
  config: Json,
  name: string,
  standard: number,
): number {
  const value = config[name] ?? standard;
  if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
  return broken(path, `${name} ${JSON.stringify(value)} is not a positive number`);
}

function refuseUnsupported(path: string, config: Json, architecture: string): void {
  const activation = config.hidden_act ?? "silu";
  if (activation !== "silu") unsupported(path, `hidden_act ${shown(activation)} is not silu`);
  const quantized = config.quantization_config;
  if (typeof quantized === "object" && quantized !== null) {
    const method = shown(object(quantized).quant_method);
    unsupported(path, `quantization_config ${method}: weights must be f32, f16 or bf16`);
  }
  // A window would make attention see less than everything. Mistral uses it wherever it is set; the
  // others may carry the field and say that they do not.
  const window = config.sliding_window;
  const used = architecture === "MistralForCausalLM" || config.use_sliding_window !== false;
  const positions = count(path, config, "max_position_embeddings");
  if (typeof window === "number" && window < positions && used) {
    unsupported(path, `sliding_window ${window} is below max_position_embeddings ${positions}`);
  }
  const types = Array.isArray(config.layer_types) ? config.layer_types : [];
  const other = types.find((type) => type !== "full_attention");
  if (other !== undefined) unsupported(path, `layer_types ${shown(other)} is not full_attention`);
}

function biasesOf(config: Json, architecture: string): Role[] {
  const biases: Role[] = [];
  if (architecture === "Qwen2ForCausalLM") biases.push(...inputBiases);
  else if (config.attention_bias === true) biases.push(...inputBiases, "attentionOutputBias");
  if (config.mlp_bias === true) biases.push("mlpGateBias", "mlpUpBias", "mlpDownBias");
  return biases;
}

function ropeOf(path: string, config: Json): RopeScaling {
  const scaling = { ...object(config.rope_scaling), ...object(config.rope_parameters) };
  // Some files give these two outside, where the first counts more and the second less.
  scaling.original_max_position_embeddings = config.original_max_position_embeddings ??
    scaling.original_max_position_embeddings;
  scaling.partial_rotary_factor ??= config.partial_rotary_factor;
  const type = scaling.rope_type ?? scaling.type ?? "default";
  const theta = scaling.rope_theta ?? config.rope_theta ?? 10000;
  if (typeof theta !== "number" || !(theta > 0)) {
    broken(path, `rope_theta ${JSON.stringify(theta)} is not a positive number`);
  }
  return { ...scaling, type: shown(type), theta };
}

function object(value: unknown): Json {
  return typeof value === "object" && value !== null ? value as Json : {};
}

function endTokens(folder: string, config: Json): number[] {
  const path = join(folder, "generation_config.json");
  const generation = existsSync(path) ? readJson(path) : {};
  const ids = [config.eos_token_id, generation.eos_token_id].flat();
  return [...new Set(ids.filter((id): id is number => typeof id === "number"))];
}

// Llama 3 says it by the template of its post-processor alone, others by a field.
function addsBos(folder: string, bos: number): boolean {
  const settings = join(folder, "tokenizer_config.json");
  const said = existsSync(settings) ? readJson(settings).add_bos_token : undefined;
  if (typeof said === "boolean") return said;
  const tokenizer = join(folder, "tokenizer.json");
  return existsSync(tokenizer) && startsWith(object(readJson(tokenizer).post_processor), bos);
}

function startsWith(processor: Json, token: number): boolean {
  if (Array.isArray(processor.processors)) {
    return processor.processors.some((inner) => startsWith(object(inner), token));
  }
  const first = Array.isArray(processor.single) ? object(processor.single[0]) : {};
  const name = object(first.SpecialToken).id;
  const ids = object(object(processor.special_tokens)[shown(name)]).ids;
  return Array.isArray(ids) && ids[0] === token;
}
