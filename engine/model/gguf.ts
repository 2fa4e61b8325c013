// gguf.ts - the header of a GGUF file: metadata and where each tensor lies. Every count and length is
// held against the file's size before anything is allocated for it.
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { broken } from "./faults.ts";
import type { StoredTensor } from "./safetensors.ts";

/** A metadata value; arrays stay arrays. */
export type GgufValue = number | bigint | boolean | string | GgufValue[];

/** A file's header. */
export interface Gguf {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

interface TensorType {
  readonly name: string;
  readonly type: number | null;
  /** Values and bytes of a block. */
  readonly values: number;
  readonly bytes: number;
}

// GGML's numbers. Those without a native type are known, so that their sizes can be checked.
const tensorTypes: Record<number, TensorType> = {
  0: { name: "F32", type: 0, values: 1, bytes: 4 },
  1: { name: "F16", type: 1, values: 1, bytes: 2 },
  2: { name: "Q4_0", type: 4, values: 32, bytes: 18 },
  3: { name: "Q4_1", type: 5, values: 32, bytes: 20 },
  6: { name: "Q5_0", type: null, values: 32, bytes: 22 },
  7: { name: "Q5_1", type: null, values: 32, bytes: 24 },
  8: { name: "Q8_0", type: 3, values: 32, bytes: 34 },
  10: { name: "Q2_K", type: null, values: 256, bytes: 84 },
  11: { name: "Q3_K", type: null, values: 256, bytes: 110 },
  12: { name: "Q4_K", type: null, values: 256, bytes: 144 },
  13: { name: "Q5_K", type: null, values: 256, bytes: 176 },
  14: { name: "Q6_K", type: null, values: 256, bytes: 210 },
  30: { name: "BF16", type: 2, values: 1, bytes: 2 },
};

const blockBytes = 1 << 20; // read ahead

class Reader {
  private buffer = new Uint8Array(0);
  private start = 0; // of the buffer in the file
  at = 0;

  constructor(readonly path: string, readonly file: number, readonly size: number) {}

  /** The next `count` bytes. */
  take(count: number): DataView {
    if (count > this.size - this.at) {
      broken(this.path, `ends inside its header: ${count} bytes at ${this.at}, file size ${this.size}`);
    }
    const offset = this.at - this.start;
    if (offset + count > this.buffer.length) {
      this.start = this.at;
      this.buffer = new Uint8Array(Math.min(this.size - this.at, Math.max(count, blockBytes)));
      readSync(this.file, this.buffer, 0, this.buffer.length, this.at);
    }
    const view = new DataView(this.buffer.buffer, this.at - this.start, count);
    this.at += count;
    return view;
  }
  u32(): number {
    return this.take(4).getUint32(0, true);
  }
  u64(): bigint {
    return this.take(8).getBigUint64(0, true);
  }
  /** A count of things of at least `bytes` bytes each, so at most what the file can hold. */
  count(what: string, bytes: number): number {
    const count = this.u64();
    if (count > BigInt(Math.floor((this.size - this.at) / bytes))) {
      broken(this.path, `${what} ${count} does not fit the file size ${this.size}`);
    }
    return Number(count);
  }
  text(): string {
    const view = this.take(this.count("string length", 1));
    return new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  }
}

type Read = (reader: Reader) => GgufValue;

// Metadata types by number, with the least bytes of one value.
const valueTypes: Record<number, { bytes: number; read: Read }> = {
  0: { bytes: 1, read: (reader) => reader.take(1).getUint8(0) },
  1: { bytes: 1, read: (reader) => reader.take(1).getInt8(0) },
  2: { bytes: 2, read: (reader) => reader.take(2).getUint16(0, true) },
  3: { bytes: 2, read: (reader) => reader.take(2).getInt16(0, true) },
  4: { bytes: 4, read: (reader) => reader.u32() },
  5: { bytes: 4, read: (reader) => reader.take(4).getInt32(0, true) },
  6: { bytes: 4, read: (reader) => reader.take(4).getFloat32(0, true) },
  7: { bytes: 1, read: (reader) => reader.take(1).getUint8(0) !== 0 },
  8: { bytes: 8, read: (reader) => reader.text() },
  10: { bytes: 8, read: (reader) => reader.u64() },
  11: { bytes: 8, read: (reader) => reader.take(8).getBigInt64(0, true) },
  12: { bytes: 8, read: (reader) => reader.take(8).getFloat64(0, true) },
};
const arrayType = 9;

function readValue(reader: Reader, key: string, type: number): GgufValue {
  if (type !== arrayType) {
    const known = valueTypes[type];
    if (known === undefined) broken(reader.path, `metadata ${key} has type ${type}`);
    return known.read(reader);
  }
  const of = reader.u32();
  const known = valueTypes[of];
  if (known === undefined) broken(reader.path, `metadata ${key} is an array of type ${of}`);
  const length = reader.count(`length of metadata ${key}`, known.bytes);
  return Array.from({ length }, () => known.read(reader));
}

interface TensorInfo {
  readonly name: string;
  readonly shape: number[];
  readonly type: TensorType;
  readonly offset: bigint;
  readonly bytes: bigint;
}

function readTensorInfo(reader: Reader): TensorInfo {
  const name = reader.text();
  const dimensions = reader.u32();
  if (dimensions > 4) broken(reader.path, `tensor ${name} has ${dimensions} dimensions, above 4`);
  const sizes = Array.from({ length: dimensions }, () => reader.u64());
  const number = reader.u32();
  const type = tensorTypes[number];
  const offset = reader.u64();
  if (type === undefined) broken(reader.path, `tensor ${name} has type ${number}`);
  const columns = sizes[0] ?? 1n;
  if (columns % BigInt(type.values) !== 0n) {
    broken(reader.path, `tensor ${name} has rows of ${columns} values, not blocks of ${type.values}`);
  }
  const values = sizes.reduce((product, n) => product * n, 1n);
  const bytes = values / BigInt(type.values) * BigInt(type.bytes);
  return { name, shape: sizes.map(Number).reverse(), type, offset, bytes };
}

function readHeader(reader: Reader): Gguf {
  const { path, size } = reader;
  if (size < 4 || reader.u32() !== 0x46554747) broken(path, "is not GGUF: it does not begin so");
  const version = reader.u32();
  if (version !== 2 && version !== 3) broken(path, `GGUF version ${version} is neither 2 nor 3`);
  // Name length, dimensions, type and offset take 24 bytes at least.
  const tensorCount = reader.count("tensor count", 24);
  const metadataCount = reader.count("metadata count", 1);
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < metadataCount; i++) {
    const key = reader.text();
    metadata.set(key, readValue(reader, key, reader.u32()));
  }
  const infos = Array.from({ length: tensorCount }, () => readTensorInfo(reader));
  const alignment = metadata.get("general.alignment") ?? 32;
  if (typeof alignment !== "number" || alignment < 1 || alignment % 8 !== 0) {
    broken(path, `general.alignment ${String(alignment)} is not a multiple of 8`);
  }
  const start = Math.ceil(reader.at / alignment) * alignment;
  const tensors = new Map<string, StoredTensor>();
  for (const info of infos) {
    if (tensors.has(info.name)) broken(path, `names tensor ${info.name} twice`);
    tensors.set(info.name, placed(path, info, start, alignment, size));
  }
  return { metadata, tensors };
}

function placed(
  path: string,
  { name, shape, type, offset, bytes }: TensorInfo,
  start: number,
  alignment: number,
  size: number,
): StoredTensor {
  if (offset % BigInt(alignment) !== 0n) {
    broken(path, `tensor ${name} has offset ${offset}, not a multiple of ${alignment}`);
  }
  if (BigInt(start) + offset + bytes > BigInt(size)) {
    broken(
      path,
      `tensor ${name} of ${bytes} bytes at offset ${offset} ends after the file size ${size}`,
    );
  }
  return { name, type: type.type, typeName: type.name, shape, path, offset: start + Number(offset) };
}

/** Reads a GGUF file's header. */
export function readGguf(path: string): Gguf {
  const file = openSync(path, "r");
  try {
    return readHeader(new Reader(path, file, fstatSync(file).size));
  } finally {
    closeSync(file);
  }
}
