// safetensors.ts - headers of safetensors files: 8 bytes of length, JSON, then the data.
// Everything in a header is checked before a byte of data is used: the file may be anybody's.
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { type FileBytes, withFile } from "./bytes.ts";
import { broken, shown } from "./faults.ts";
import { readJson } from "./json.ts";
import { tensorTypes } from "./roles.ts";

/** A tensor as its file declares it. */
export interface StoredTensor {
  readonly name: string;
  /** Number of the native type, or null for one that is not offered. */
  readonly type: number | null;
  /** The type as the file calls it. */
  readonly typeName: string;
  readonly shape: readonly number[];
  readonly path: string;
  /** Bytes from the start of the file. */
  readonly offset: number;
}

interface Dtype {
  /** Bytes of a value. */
  readonly bytes: number;
  /** Number of the native type, or null for one that is not offered. */
  readonly type: number | null;
}

// A Map, so that a file whose dtype is "constructor" finds nothing.
const dtypes = new Map<string, Dtype>([
  ["F32", { bytes: 4, type: tensorTypes.f32 }],
  ["F16", { bytes: 2, type: tensorTypes.f16 }],
  ["BF16", { bytes: 2, type: tensorTypes.bf16 }],
]);
const notOffered: Record<number, string[]> = {
  8: ["F64", "I64", "U64"],
  4: ["I32", "U32"],
  2: ["I16", "U16"],
  1: ["I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"],
};
for (const [bytes, names] of Object.entries(notOffered)) {
  for (const name of names) dtypes.set(name, { bytes: Number(bytes), type: null });
}

// The largest header worth reading: the format's own limit.
const headerMax = 100_000_000;
// Weights have 1 or 2; a shape of a million would only cost time.
const dimensionsMax = 8;

/** All tensors of a folder: model.safetensors, or the shards that its index names. */
export function readSafetensors(folder: string): Map<string, StoredTensor> {
  const index = join(folder, "model.safetensors.index.json");
  if (!existsSync(index)) return readFile(join(folder, "model.safetensors"));
  const map = readJson(index).weight_map;
  if (typeof map !== "object" || map === null) broken(index, "weight_map is missing");
  const tensors = new Map<string, StoredTensor>();
  for (const shard of new Set(Object.values(map as Record<string, unknown>))) {
    if (typeof shard !== "string" || shard !== basename(shard) || shard === "..") {
      broken(index, `shard ${shown(shard)} is not a file of this folder`);
    }
    for (const [name, tensor] of readFile(join(folder, shard))) {
      if (tensors.has(name)) broken(index, `tensor ${name} is in two shards`);
      tensors.set(name, tensor);
    }
  }
  for (const name of Object.keys(map as object)) {
    if (!tensors.has(name)) broken(index, `tensor ${name} is in no shard`);
  }
  return tensors;
}

/** The tensors of one file. */
export function readFile(path: string): Map<string, StoredTensor> {
  return withFile(path, (file) => {
    const length = headerLength(file);
    const header = parseHeader(path, file.read(8, length));
    return tensorsOf(path, header, 8 + length, file.size);
  });
}

/** The strings that a file says of itself; none where it says nothing. */
export function readMetadata(path: string): ReadonlyMap<string, string> {
  return withFile(path, (file) => {
    const { __metadata__: said = {} } = parseHeader(path, file.read(8, headerLength(file)));
    if (typeof said !== "object" || said === null) broken(path, "__metadata__ is not an object");
    return new Map(Object.entries(said).map(([name, value]) => [name, String(value)]));
  });
}

function headerLength(file: FileBytes): number {
  const { path, size } = file;
  if (size < 8) broken(path, `has ${size} bytes, fewer than the 8 of its header's length`);
  const length = new DataView(file.read(0, 8).buffer).getBigUint64(0, true);
  if (length > BigInt(size - 8)) {
    broken(path, `header length ${length} does not fit the file size ${size}`);
  }
  if (length > BigInt(headerMax)) broken(path, `header length ${length} is above ${headerMax}`);
  return Number(length);
}

function parseHeader(path: string, bytes: Uint8Array): Record<string, unknown> {
  let header: unknown;
  let text = "";
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    header = JSON.parse(text);
  } catch (cause) {
    broken(path, `the header is not JSON (${(cause as Error).message})`);
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    broken(path, "the header is not a JSON object");
  }
  const twice = repeatedKey(text);
  if (twice !== null) broken(path, `the header names tensor ${twice} twice`);
  return header as Record<string, unknown>;
}

// JSON.parse takes the last of equal keys in silence. The text is valid JSON here, so strings and
// brackets are all that has to be told apart.
function repeatedKey(text: string): string | null {
  const seen = new Set<string>();
  let depth = 0;
  let last = "";
  for (let at = 0; at < text.length; at++) {
    const sign = text[at];
    if (sign === '"') {
      const end = stringEnd(text, at);
      last = text.slice(at, end);
      at = end - 1;
    } else if (sign === "{" || sign === "[") depth++;
    else if (sign === "}" || sign === "]") depth--;
    else if (sign === ":" && depth === 1) {
      const key = JSON.parse(last) as string;
      if (seen.has(key)) return key;
      seen.add(key);
    }
  }
  return null;
}

// Behind the closing quote. No regular expression: those recurse, and a string may have megabytes.
function stringEnd(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

interface Span {
  readonly name: string;
  readonly begin: number;
  readonly end: number;
}

function tensorsOf(
  path: string,
  header: Record<string, unknown>,
  start: number,
  size: number,
): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  const spans: Span[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const { tensor, span } = tensorOf(path, name, entry, start, size);
    tensors.set(name, tensor);
    spans.push(span);
  }
  checkSpans(path, spans, size - start);
  return tensors;
}

function tensorOf(path: string, name: string, entry: unknown, start: number, size: number) {
  const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>;
  const type = typeof dtype === "string" ? dtypes.get(dtype) : undefined;
  if (type === undefined) broken(path, `tensor ${name} has dtype ${shown(dtype)}`);
  const text = JSON.stringify(shape);
  const whole = (value: unknown) => typeof value === "number" && Number.isInteger(value);
  if (!Array.isArray(shape) || !shape.every((n) => whole(n) && n >= 0)) {
    broken(path, `tensor ${name} has shape ${text}, not whole numbers of 0 or more`);
  }
  if (shape.length > dimensionsMax) {
    broken(path, `tensor ${name} has ${shape.length} dimensions, above ${dimensionsMax}`);
  }
  const values = (shape as number[]).reduce((product, n) => product * BigInt(n), 1n);
  const [begin, end] = Array.isArray(offsets) ? offsets as unknown[] : [];
  if (
    !whole(begin) || !whole(end) || (begin as number) < 0 || (end as number) < (begin as number)
  ) {
    broken(path, `tensor ${name} has data_offsets ${JSON.stringify(offsets)}`);
  }
  const span = { name, begin: begin as number, end: end as number };
  if (values * BigInt(type.bytes) !== BigInt(span.end - span.begin)) {
    broken(path, `tensor ${name} of shape ${text} does not fit its ${span.end - span.begin} bytes`);
  }
  if (span.end > size - start) {
    broken(path, `tensor ${name} ends at ${start + span.end}, after the file size ${size}`);
  }
  const tensor: StoredTensor = {
    name,
    type: type.type,
    typeName: dtype as string,
    shape: shape as number[],
    path,
    offset: start + span.begin,
  };
  return { tensor, span };
}

// The format allows neither overlaps nor holes.
function checkSpans(path: string, spans: Span[], bytes: number): void {
  let at = 0;
  for (const { name, begin, end } of spans.sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin < at) broken(path, `tensor ${name} begins at ${begin}, inside the one before it`);
    if (begin > at) broken(path, `${begin - at} unused bytes before tensor ${name}`);
    at = end;
  }
  if (at < bytes) broken(path, `${bytes - at} unused bytes after the last tensor`);
}
