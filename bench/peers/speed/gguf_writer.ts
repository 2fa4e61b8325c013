// gguf_writer.ts - the header of a GGUF file, version 3: metadata, and tensors of Q8_0 or f32.

/** Of a block of Q8_0: numbers, and bytes: 16 bits of scale, then the numbers. */
export const [BLOCK_VALUES, BLOCK_BYTES] = [32, 34];
const ALIGNMENT = 32;
const [F32, Q8_0] = [0, 8];
const ARRAY = 9;

/** A metadata value, or a list of such. */
export interface Field {
  readonly name: string;
  readonly kind: "u32" | "i32" | "f32" | "text";
  readonly value: unknown;
}

/** A tensor of Q8_0; with 0 rows, a vector of f32. */
export interface Tensor {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
}

/** Bytes up to where the next tensor may begin. */
export function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

/** Bytes of a tensor's numbers. */
export function tensorBytes({ rows, columns }: Tensor): number {
  return rows === 0 ? columns * 4 : rows * columns / BLOCK_VALUES * BLOCK_BYTES;
}

class Writer {
  readonly #parts: Uint8Array[] = [];

  readonly u32 = (value: unknown): void =>
    this.#number(4, (view) => view.setUint32(0, value as number, true));
  readonly f32 = (value: unknown): void =>
    this.#number(4, (view) => view.setFloat32(0, value as number, true));
  readonly u64 = (value: number): void =>
    this.#number(8, (view) => view.setBigUint64(0, BigInt(value), true));
  readonly text = (value: unknown): void => {
    const bytes = new TextEncoder().encode(value as string);
    this.u64(bytes.length);
    this.#parts.push(bytes);
  };

  #number(bytes: number, set: (view: DataView) => void): void {
    const part = new Uint8Array(bytes);
    set(new DataView(part.buffer));
    this.#parts.push(part);
  }

  /** All that was written, up to where the first tensor begins. */
  bytes(): Uint8Array {
    const length = this.#parts.reduce((sum, part) => sum + part.length, 0);
    const all = new Uint8Array(aligned(length));
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}

/** The header; the tensors follow it in their order, each at aligned() bytes behind the last. */
export function ggufHeader(fields: readonly Field[], tensors: readonly Tensor[]): Uint8Array {
  const to = new Writer();
  const kinds = {
    u32: { type: 4, write: to.u32 },
    i32: { type: 5, write: to.u32 },
    f32: { type: 6, write: to.f32 },
    text: { type: 8, write: to.text },
  };
  to.u32(0x46554747); // GGUF
  to.u32(3);
  to.u64(tensors.length);
  to.u64(fields.length);
  for (const { name, kind, value } of fields) {
    const { type, write } = kinds[kind];
    to.text(name);
    if (!Array.isArray(value)) to.u32(type);
    else {
      to.u32(ARRAY);
      to.u32(type);
      to.u64(value.length);
    }
    for (const item of [value].flat()) write(item);
  }
  let at = 0;
  for (const tensor of tensors) {
    const { name, rows, columns } = tensor;
    to.text(name);
    to.u32(rows === 0 ? 1 : 2);
    for (const size of rows === 0 ? [columns] : [columns, rows]) to.u64(size);
    to.u32(rows === 0 ? F32 : Q8_0);
    to.u64(at);
    at += aligned(tensorBytes(tensor));
  }
  return to.bytes();
}
