// golden.ts - the tiny random models of tests/golden with the logits and text that they must give.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** One prompt of a model. */
export interface GoldenPrompt {
  readonly ids: readonly number[];
  /** After the last id, [vocabulary]. */
  readonly logitsLast: readonly number[];
  /** After the id at a position, counted from 0, [vocabulary] each. */
  readonly logitsAt: Readonly<Record<string, readonly number[]>>;
  /** The 48 ids that follow. */
  readonly greedy: readonly number[];
  /** Between transformers in float32 and these logits, the largest over all positions. */
  readonly maxAbsDiffF32F64: number;
}

/** A model and the file of what it must give. */
export interface GoldenModel {
  readonly name: string;
  readonly path: string;
  readonly prompts: readonly GoldenPrompt[];
}

/** Models that every device must run as the reference does. */
export const goldenNames: readonly string[] = [
  "llama-plain",
  "llama3-rope",
  "llama-bf16-sharded-tied",
  "llama-f16",
  "llama-bias",
  "llama-gqa8",
  "llama-hd128",
  "llama-linear-rope",
  "mistral",
  "qwen2",
  "qwen2-yarn",
  "qwen3",
  "gguf/llama-plain.f32.gguf",
  "gguf/llama-plain.f16.gguf",
  "gguf/llama-plain.q8_0.gguf",
  "gguf/llama-plain.q4_0.gguf",
  "gguf/llama-plain.q4_1.gguf",
  "gguf/llama3-rope.q4_1.gguf",
  "gguf/llama-k.q4_k_m.gguf",
  "gguf/llama-k.q5_k_m.gguf",
];

/** Path of a file or folder of tests/golden. */
export function goldenPath(name: string): string {
  return fileURLToPath(new URL(`../golden/${name}`, import.meta.url));
}

/** Reads what a model must give. */
export function goldenModel(name: string): GoldenModel {
  const path = goldenPath(name);
  const { prompts } = JSON.parse(readFileSync(goldenFile(name), "utf8"));
  return { name, path, prompts };
}

/**
 * How far logits of a float32 engine may be off: ten times what transformers in float32 is, since
 * sums run in another order, and 1e-4 where that difference is all but 0.
 */
export function tolerance({ maxAbsDiffF32F64 }: GoldenPrompt): number {
  return 10 * maxAbsDiffF32F64 + 1e-4;
}

function goldenFile(name: string): string {
  if (!name.endsWith(".gguf")) return goldenPath(`${name}/golden.json`);
  // The F32 file holds the very weights of the folder, so it shares the folder's logits.
  if (name === "gguf/llama-plain.f32.gguf") return goldenPath("llama-plain/golden.json");
  return goldenPath(name.replace(/\.gguf$/, ".golden.json"));
}
