// describe.ts - a model on disk as the native code needs it: sizes, rope, and where each tensor
// lies. Only headers are read here; weights are memory-mapped natively and used in their own
// format.
import { statSync } from "node:fs";
import { join } from "node:path";
import { SpecacheError } from "../errors.ts";
import { readConfig } from "./config.ts";
import { unreadable } from "./faults.ts";
import { describeGguf } from "./gguf_model.ts";
import { readSafetensors } from "./safetensors.ts";
import { placeTensors } from "./tensors.ts";

/** Where a tensor lies, and what it is for. */
export interface TensorPlace {
  /** Number of its role, as native/specache.h counts them. */
  readonly role: number;
  /** Transformer layer; 0 for tensors of no layer. */
  readonly layer: number;
  /** 0 f32, 1 f16, 2 bf16, 3 q8_0, 4 q4_0, 5 q4_1, 6 q4_k, 7 q5_k, 8 q6_k. */
  readonly type: number;
  readonly rows: number;
  readonly columns: number;
  readonly path: string;
  /** Bytes from the start of the file. */
  readonly offset: number;
  /** Its name in the file. */
  readonly name: string;
}

/** Sizes of a decoder. */
export interface ModelShape {
  /** Of the folder or file. */
  readonly name: string;
  /** As its config or metadata calls it, e.g. "llama". */
  readonly architecture: string;
  /** Transformer layers. */
  readonly layers: number;
  /** Query heads of a layer. */
  readonly queryHeads: number;
  /** KV heads of a layer. */
  readonly kvHeads: number;
  /** Channels of a head. */
  readonly headDim: number;
  /** Channels between layers. */
  readonly hidden: number;
  /** Channels inside the feed-forward part. */
  readonly intermediate: number;
  /** Token ids; all are below it. */
  readonly vocabulary: number;
  /** Of RMSNorm. */
  readonly epsilon: number;
  /** Positions that the model was made for. */
  readonly tokensMax: number;
  /** Rope turns neighbouring pairs (llama.cpp's row order), else halves. */
  readonly ropeNeighbours: boolean;
  /** Factor of rope's sine and cosine: yarn's attention factor, else 1. */
  readonly ropeMagnitude: number;
  /** Radians per position of each pair, [headDim / 2]. */
  readonly frequencies: Float64Array;
  /** Qwen3: queries and keys are normalised. */
  readonly queryKeyNorms: boolean;
  /** The output projection is the embedding. */
  readonly tied: boolean;
  /** Id that begins a text. */
  readonly bos: number | null;
  /** Ids that end a text. */
  readonly eos: readonly number[];
  /** Whether a prompt begins with bos. */
  readonly addBos: boolean;
}

/** A model on disk. */
export interface ModelDescription extends ModelShape {
  /** Its weights; each role of each layer once. */
  readonly tensors: readonly TensorPlace[];
}

/**
 * Reads the headers of a model: a folder with config.json and safetensors, or a GGUF file.
 *
 * @throws {SpecacheError} file: something is missing or broken; unsupported: not offered here
 */
export function describeModel(path: string): ModelDescription {
  if (!isFolder(path)) return describeGguf(path);
  const { shape, biases } = readConfig(path);
  return placeTensors(shape, readSafetensors(path), join(path, "model.safetensors"), biases);
}

/** Whether a model is a folder, else it is a GGUF file. */
export function isFolder(path: string): boolean {
  const status = statusOf(path);
  if (status !== undefined) return status.isDirectory();
  throw new SpecacheError("file", `Cannot open model: ${path} does not exist`, {
    details: { path },
  });
}

function statusOf(path: string) {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (cause) {
    return unreadable(path, cause);
  }
}

/**
 * Refuses a text that is longer than the model's positions.
 *
 * @throws {SpecacheError} capacity
 */
export function checkLength(
  contextTokens: number,
  { tokensMax }: Pick<ModelDescription, "tokensMax">,
  action: string,
): void {
  if (contextTokens <= tokensMax) return;
  throw new SpecacheError(
    "capacity",
    `Cannot ${action}: contextTokens ${contextTokens} is above the model's ${tokensMax}`,
    { details: { contextTokens, positions: tokensMax } },
  );
}
