// gguf.ts - the header of a GGUF file: metadata and where each tensor lies. Every count and length
// is held against the file's size, and against our own limits, before anything is allocated for it.
import { type FileBytes, withFile } from "./bytes.ts";
import { broken } from "./faults.ts";
import { type GgufType, ggufTypes } from "./gguf_types.ts";
import type { StoredTensor } from "./safetensors.ts";

/** A metadata value; arrays stay arrays. */
export type GgufValue = number | bigint | boolean | string | GgufValue[];

/** A file's header. */
export interface Gguf {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

const blockBytes = 1 << 20; // read ahead
// Llama 3's header of 128,256 tokens and 280,147 merges has 8 MB: no model comes near these.
const headerMax = 100_000_000; // bytes
const valuesMax = 1 << 24; // of an array
const magic = 0x46554747; // "GGUF"

class Reader {
  private buffer = new Uint8Array(0);
  private start = 0; // of the buffer in the file
  at = 0;

  constructor(readonly file: FileBytes) {}

  /** The next `count` bytes. */
  take(count: number): DataView {
    const { path, size } = this.file;
    if (count > size - this.at) {
      broken(path, `ends inside its header: ${count} bytes at ${this.at}, file size ${size}`);
    }
    if (this.at + count > headerMax) broken(path, `the header is longer than ${headerMax} bytes`);
    const offset = this.at - this.start;
    if (offset + count > this.buffer.length) {
      this.start = this.at;
      this.buffer = this.file.read(this.at, Math.min(size - this.at, Math.max(count, blockBytes)));
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
    const { path, size } = this.file;
    if (count > BigInt(Math.floor((size - this.at) / bytes))) {
      broken(path, `${what} ${count} does not fit the file size ${size}`);
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
  const { path } = reader.file;
  if (type !== arrayType) {
    const known = valueTypes[type];
    if (known === undefined) broken(path, `metadata ${key} has type ${type}`);
    return known.read(reader);
  }
  const of = reader.u32();
  const known = valueTypes[of];
  if (known === undefined) broken(path, `metadata ${key} is an array of type ${of}`);
  const length = reader.count(`length of metadata ${key}`, known.bytes);
  if (length > valuesMax) broken(path, `length of metadata ${key} ${length} is above ${valuesMax}`);
  return Array.from({ length }, () => known.read(reader));
}

interface TensorInfo {
  readonly name: string;
  readonly shape: number[];
  readonly type: GgufType;
  readonly offset: bigint;
  readonly bytes: bigint;
}

function readTensorInfo(reader: Reader): TensorInfo {
  const { path } = reader.file;
  const name = reader.text();
  const dimensions = reader.u32();
  if (dimensions > 4) broken(path, `tensor ${name} has ${dimensions} dimensions, above 4`);
  const sizes = Array.from({ length: dimensions }, () => reader.u64());
  const number = reader.u32();
  const type = ggufTypes.get(number);
  const offset = reader.u64();
  if (type === undefined) broken(path, `tensor ${name} has type ${number}`);
  const columns = sizes[0] ?? 1n;
  if (columns % BigInt(type.values) !== 0n) {
    broken(path, `tensor ${name} has rows of ${columns} values, not blocks of ${type.values}`);
  }
  const values = sizes.reduce((product, n) => product * n, 1n);
  const bytes = values / BigInt(type.values) * BigInt(type.bytes);
  return { name, shape: sizes.map(Number).reverse(), type, offset, bytes };
}

function notGguf(path: string): never {
  return broken(path, "is not a GGUF file; a Hugging Face model is opened by its folder");
}

function readHeader(reader: Reader): Gguf {
  const { path, size } = reader.file;
  if (size === 0) broken(path, "is empty");
  if (size < 4 || reader.u32() !== magic) notGguf(path);
  const version = reader.u32();
  if (version !== 2 && version !== 3) broken(path, `GGUF version ${version} is neither 2 nor 3`);
  // A tensor takes 24 bytes at least: length of its name 8, dimensions 4, type 4, offset 8.
  const tensorCount = reader.count("tensor count", 24);
  if (tensorCount > headerMax / 24) {
    broken(path, `tensor count ${tensorCount} is above ${Math.floor(headerMax / 24)}`);
  }
  const metadataCount = reader.count("metadata count", 1);
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < metadataCount; i++) {
    const key = reader.text();
    if (metadata.has(key)) broken(path, `names metadata ${key} twice`);
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
  checkOverlap(path, infos);
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
  const place = start + Number(offset);
  return { name, type: type.type, typeName: type.name, shape, path, offset: place };
}

function checkOverlap(path: string, infos: readonly TensorInfo[]): void {
  let end = 0n;
  for (const { name, offset, bytes } of infos.toSorted((a, b) => a.offset < b.offset ? -1 : 1)) {
    if (offset < end) broken(path, `tensor ${name} begins at ${offset}, inside the one before it`);
    end = offset + bytes;
  }
}

/** Reads a GGUF file's header. */
export function readGguf(path: string): Gguf {
  return withFile(path, (file) => readHeader(new Reader(file)));
}
