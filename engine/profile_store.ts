// profile_store.ts - profiles in the cache folder, one file a model, under the model's hash.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { cacheHome } from "../ffi/home.ts";
import { SpecacheError } from "./errors.ts";
import { refusedAs } from "./system.ts";
import type { ModelDescription, TensorPlace } from "./model/describe.ts";
import { withFile } from "./model/bytes.ts";
import type { StoreShape } from "./native_config.ts";
import { type Profile, PROFILE_VERSION, readProfile } from "./profile.ts";

const SLICE_BYTES = 4096; // of a tensor, at its beginning, middle and end

/**
 * Names a model by what a profile depends on: sizes, rope, and 12 KiB of each tensor. So it takes
 * milliseconds for any model, and changes with the weights; one that differs elsewhere alone is
 * not told apart.
 */
export function modelHash(description: ModelDescription): string {
  const hash = createHash("sha256");
  const { layers, queryHeads, kvHeads, headDim, hidden, intermediate, vocabulary } = description;
  hash.update(JSON.stringify([layers, queryHeads, kvHeads, headDim, hidden, intermediate]));
  // Nine digits: powers differ in their last bit from runtime to runtime.
  const frequencies = Array.from(description.frequencies, (x) => x.toPrecision(9));
  hash.update(JSON.stringify([vocabulary, frequencies]));
  for (const [path, tensors] of byFile(description.tensors)) {
    withFile(path, (file) => {
      for (const { role, layer, type, rows, columns, offset } of tensors) {
        hash.update(JSON.stringify([role, layer, type, rows, columns]));
        const bytes = tensorBytes(type, rows, columns);
        const slice = Math.min(SLICE_BYTES, bytes);
        for (const part of [0, 0.5, 1]) {
          hash.update(file.read(offset + Math.floor(part * (bytes - slice)), slice));
        }
      }
    });
  }
  return hash.digest("hex");
}

/** Where a model's profile is kept. */
export function profilePath(hash: string): string {
  return join(cacheHome(), "profiles", `${hash.slice(0, 32)}.v${PROFILE_VERSION}.safetensors`);
}

/** The profile that is kept for a model; null: none, or one that is broken. */
export function storedProfile(path: string, shape: StoreShape): Profile | null {
  if (!existsSync(path)) return null;
  try {
    return readProfile(path, shape);
  } catch (error) {
    if (error instanceof SpecacheError) return null;
    throw error;
  }
}

/**
 * Writes a profile; whoever reads the path meanwhile finds the old file or the new one.
 *
 * @throws {SpecacheError} file: the system refuses
 */
export function writeProfileFile(
  path: string,
  profile: Profile,
  { layers, kvHeads, headDim }: StoreShape,
  metadata: Readonly<Record<string, string>>,
): void {
  const heads = [layers, kvHeads];
  const bytes = safetensors({ version: PROFILE_VERSION, ...metadata }, [
    ["valueBasis", "F32", [...heads, headDim, headDim], profile.valueBasis],
    ["valuePlaneChannel", "U32", [...heads, profile.valuePlanes], profile.planeChannel],
    ["valuePlaneWeight", "F32", [...heads, profile.valuePlanes], profile.planeWeight],
    ["keyBits", "U8", heads, profile.keyBits],
  ]);
  const partial = `${path}.${process.pid}`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(partial, bytes);
    renameSync(partial, path);
  } catch (cause) {
    removed(partial);
    throw new SpecacheError(
      "file",
      `Cannot write profile: ${path} ${refusedAs(cause, "written")}`,
      {
        cause,
        details: { path },
      },
    );
  }
}

function removed(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // What kept it from being written keeps it from being there.
  }
}

type Data = Float32Array | Uint32Array | Uint8Array | null;

function safetensors(
  metadata: Readonly<Record<string, string>>,
  tensors: readonly (readonly [name: string, dtype: string, shape: number[], data: Data])[],
): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata };
  const parts: Uint8Array[] = [];
  let end = 0;
  for (const [name, dtype, shape, data] of tensors) {
    if (data === null) continue;
    header[name] = { dtype, shape, data_offsets: [end, end + data.byteLength] };
    parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    end += data.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  let at = 8;
  for (const part of [text, ...parts]) {
    file.set(part, at);
    at += part.length;
  }
  return file;
}

function byFile(tensors: readonly TensorPlace[]): Map<string, TensorPlace[]> {
  const files = new Map<string, TensorPlace[]>();
  for (const tensor of tensors) {
    const own = files.get(tensor.path) ?? [];
    files.set(tensor.path, own);
    own.push(tensor);
  }
  return files;
}

// Bytes of 32 values in each type of TensorPlace: f32, f16, bf16, q8_0, q4_0, q4_1,
// q4_k, q5_k, q6_k.
const BLOCK_BYTES = [128, 64, 64, 34, 18, 20, 18, 22, 26.25];

function tensorBytes(type: number, rows: number, columns: number): number {
  return rows * columns / 32 * BLOCK_BYTES[type];
}
