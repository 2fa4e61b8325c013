// files.ts - models made by tests: a folder that is gone afterwards, edits of safetensors headers,
// and GGUF files out of metadata and tensors.
import { Buffer } from "node:buffer";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The folder of golden models. */
export const golden: string = new URL("../golden/", import.meta.url).pathname;

/** Runs `body` with a folder of its own. */
export function withFolder(body: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "specache-"));
  try {
    body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Writes a golden model's config.json with some fields changed; undefined removes one. */
export function writeConfig(
  folder: string,
  name: string,
  fields: Record<string, unknown>,
): void {
  const config = JSON.parse(readFileSync(join(golden, name, "config.json"), "utf8"));
  writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, ...fields }));
}

/** Writes a golden model's safetensors file with its header's text changed. */
export function writeHeader(folder: string, name: string, edit: (header: string) => string): void {
  const bytes = readFileSync(join(golden, name, "model.safetensors"));
  const length = Number(bytes.readBigUInt64LE(0));
  const header = Buffer.from(edit(bytes.subarray(8, 8 + length).toString("utf8")));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(
    join(folder, "model.safetensors"),
    Buffer.concat([size, header, bytes.subarray(8 + length)]),
  );
}

/** Metadata: numbers become u32, fractions f32, lists arrays of their first item's type. */
export type Metadata = Record<string, number | boolean | string | number[] | string[]>;

/** A tensor of zeros, or of `values` (f32). */
export interface TestTensor {
  readonly shape: readonly number[];
  readonly type?: number;
  readonly bytes?: number;
  readonly values?: readonly number[];
}

/** The bytes of a GGUF file. */
export function ggufBytes(metadata: Metadata, tensors: Record<string, TestTensor> = {}): Buffer {
  const parts: Buffer[] = [Buffer.from("GGUF"), u32(3)];
  parts.push(u64(Object.keys(tensors).length), u64(Object.keys(metadata).length));
  for (const [key, value] of Object.entries(metadata)) parts.push(text(key), ...valueOf(value));
  const data: Buffer[] = [];
  let offset = 0;
  for (const [name, { shape, type = 0, bytes, values }] of Object.entries(tensors)) {
    parts.push(text(name), u32(shape.length), ...shape.toReversed().map(u64), u32(type));
    parts.push(u64(offset));
    const size = bytes ?? 4 * shape.reduce((product, n) => product * n, 1);
    const body = Buffer.alloc(Math.ceil(size / 32) * 32);
    values?.forEach((value, i) => body.writeFloatLE(value, 4 * i));
    data.push(body);
    offset += body.length;
  }
  const header = Buffer.concat(parts);
  return Buffer.concat([header, Buffer.alloc((32 - header.length % 32) % 32), ...data]);
}

function valueOf(value: Metadata[string]): Buffer[] {
  if (!Array.isArray(value)) return [u32(typeOf(value)), scalar(value)];
  const items = value as (number | string)[];
  const fractions = items.some((item) => typeof item === "number" && !isWhole(item));
  const each = fractions ? (item: number | string) => f32(Number(item)) : scalar;
  const type = fractions ? 6 : typeOf(items[0] ?? 0);
  return [u32(9), u32(type), u64(items.length), ...items.map(each)];
}

const isWhole = (value: number) => Number.isInteger(value) && value >= 0;

function typeOf(value: number | boolean | string): number {
  if (typeof value === "string") return 8;
  if (typeof value === "boolean") return 7;
  return Number.isInteger(value) ? 4 : 6;
}

function scalar(value: number | boolean | string): Buffer {
  if (typeof value === "string") return text(value);
  if (typeof value === "boolean") return Buffer.from([Number(value)]);
  if (Number.isInteger(value)) return u32(value);
  return f32(value);
}

function f32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeFloatLE(value);
  return buffer;
}

function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}

function u64(value: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(value));
  return buffer;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}
