// config.ts - config.json of a folder, in transformers' new and older spelling.
import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import type { ModelShape } from "./describe.ts";
import { broken, readJson, unsupported } from "./faults.ts";
import { type RopeScaling, ropeFrequencies } from "./rope.ts";

const architectures = [
  "LlamaForCausalLM",
  "MistralForCausalLM",
  "Qwen2ForCausalLM",
  "Qwen3ForCausalLM",
] as const;

/** The sizes in a folder's config.json, and its end tokens (generation_config.json has more). */
export function readConfig(folder: string): ModelShape {
  const path = join(folder, "config.json");
  const config = readJson(path);
  const architecture = architectureOf(path, config);
  if (config.hidden_act !== undefined && config.hidden_act !== "silu") {
    unsupported(path, `hidden_act ${String(config.hidden_act)} is not silu`);
  }
  const whole = (name: string, standard?: number) => count(path, config, name, standard);
  const hidden = whole("hidden_size");
  const queryHeads = whole("num_attention_heads");
  const kvHeads = whole("num_key_value_heads", queryHeads);
  const headDim = whole("head_dim", Math.floor(hidden / queryHeads));
  const tokensMax = whole("max_position_embeddings");
  if (queryHeads % kvHeads !== 0) {
    broken(
      path,
      `num_attention_heads ${queryHeads} is not a multiple of num_key_value_heads ${kvHeads}`,
    );
  }
  checkWindow(path, config);
  const rope = ropeFrequencies(path, headDim, tokensMax, ropeOf(path, config));
  return {
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
    queryKeyNorms: architecture === "Qwen3ForCausalLM",
    tied: config.tie_word_embeddings === true,
    bos: typeof config.bos_token_id === "number" ? config.bos_token_id : null,
    eos: endTokens(folder, config),
    addBos: addsBos(folder),
  };
}

function architectureOf(path: string, config: Record<string, unknown>): string {
  const list = Array.isArray(config.architectures) ? config.architectures : [];
  const known = architectures.find((name) => name === list[0]);
  if (known !== undefined) return known;
  const name = list[0] ?? config.model_type ?? "none";
  return unsupported(path, `architecture ${String(name)} is none of ${architectures.join(", ")}`);
}

function count(
  path: string,
  config: Record<string, unknown>,
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
  config: Record<string, unknown>,
  name: string,
  standard: number,
): number {
  const value = config[name] ?? standard;
  if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
  return broken(path, `${name} ${JSON.stringify(value)} is not a positive number`);
}

// Mistral's and Qwen's sliding windows would make attention see less than everything. Qwen2 carries
// the field but uses it only where use_sliding_window says so.
function checkWindow(path: string, config: Record<string, unknown>): void {
  const window = config.sliding_window;
  const used = config.use_sliding_window ?? config.model_type === "mistral";
  if (typeof window === "number" && used === true) {
    unsupported(path, `sliding_window ${window}: sliding windows are not supported`);
  }
}

function ropeOf(path: string, config: Record<string, unknown>): RopeScaling {
  const scaling = { ...object(config.rope_scaling), ...object(config.rope_parameters) };
  const type = scaling.rope_type ?? scaling.type ?? "default";
  const theta = scaling.rope_theta ?? config.rope_theta ?? 10000;
  if (typeof theta !== "number" || !(theta > 0)) {
    broken(path, `rope_theta ${JSON.stringify(theta)} is not a positive number`);
  }
  return { ...scaling, type: String(type), theta };
}

function object(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
}

function endTokens(folder: string, config: Record<string, unknown>): number[] {
  const path = join(folder, "generation_config.json");
  const generation = existsSync(path) ? readJson(path) : {};
  const ids = [config.eos_token_id, generation.eos_token_id].flat();
  return [...new Set(ids.filter((id): id is number => typeof id === "number"))];
}

function addsBos(folder: string): boolean {
  const path = join(folder, "tokenizer_config.json");
  return existsSync(path) && readJson(path).add_bos_token === true;
}
