// gguf_rope.ts - rope of a GGUF file: its scaling by metadata, Llama 3's by a tensor of divisors.
import { withFile } from "./bytes.ts";
import { broken } from "./faults.ts";
import type { Gguf } from "./gguf.ts";
import type { Fields } from "./gguf_fields.ts";
import { tensorTypes } from "./roles.ts";
import { type Rope, ropeFrequencies } from "./rope.ts";

/** Frequencies and magnitude of the model in a GGUF file. */
export function ggufRope(path: string, gguf: Gguf, headDim: number, fields: Fields): Rope {
  const { has, positive } = fields;
  const rope = ropeFrequencies(path, headDim, fields.whole("context_length"), {
    ...scalingOf(fields),
    theta: positive("rope.freq_base", 10000),
    ...(has("rope.scaling.original_context_length")
      ? { original_max_position_embeddings: positive("rope.scaling.original_context_length") }
      : {}),
  });
  const divisors = divisorsOf(path, gguf, headDim);
  if (divisors === null) return rope;
  return { ...rope, frequencies: rope.frequencies.map((frequency, i) => frequency / divisors[i]) };
}

function scalingOf({ get, has, positive }: Fields) {
  // Files older than rope.scaling.type have the factor of linear scaling alone.
  const older = has("rope.scale_linear") ? positive("rope.scale_linear") : undefined;
  const type = get("rope.scaling.type") ?? (older === undefined ? "none" : "linear");
  if (type === "none") return { type: "default" };
  const factor = positive("rope.scaling.factor", older);
  if (type !== "yarn") return { type: String(type), factor };
  return {
    type,
    factor,
    beta_fast: positive("rope.scaling.yarn_beta_fast", 32),
    beta_slow: positive("rope.scaling.yarn_beta_slow", 1),
    // llama.cpp's factor multiplies YaRN's own, transformers' replaces it.
    attention_factor: positive("rope.scaling.attn_factor", 1) *
      (factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1),
  };
}

// Llama 3's scaling comes as a tensor [headDim / 2] f32 that divides the frequencies.
function divisorsOf(path: string, { tensors }: Gguf, headDim: number): number[] | null {
  const tensor = tensors.get("rope_freqs.weight");
  if (tensor === undefined) return null;
  const count = headDim / 2;
  if (tensor.type !== tensorTypes.f32 || tensor.shape.length !== 1 || tensor.shape[0] !== count) {
    broken(
      path,
      `tensor rope_freqs.weight is ${tensor.typeName} [${tensor.shape}], not F32 [${count}]`,
    );
  }
  const bytes = withFile(path, (file) => file.read(tensor.offset, 4 * count));
  const view = new DataView(bytes.buffer);
  return Array.from({ length: count }, (_, i) => {
    const divisor = view.getFloat32(4 * i, true);
    if (Number.isFinite(divisor) && divisor > 0) return divisor;
    return broken(path, `tensor rope_freqs.weight has ${divisor} at ${i}, not a positive number`);
  });
}
