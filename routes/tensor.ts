// tensor.ts - numbers as bytes of a body: f32, bf16 or f16, little-endian, one tensor behind the
// other, each of a declared shape.
import { SpecacheError } from "../engine/errors.ts";

/** Types of numbers in a body. */
export const DTYPES = ["f32", "bf16", "f16"] as const;

/** Type of the numbers in a body. */
export type Dtype = (typeof DTYPES)[number];

const BYTES: Readonly<Record<Dtype, number>> = { f32: 4, bf16: 2, f16: 2 };

/** A tensor that a body has: what it is called, and its dimensions. */
export interface Declared {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Bytes that tensors need. */
export function bytesFor(dtype: Dtype, declared: readonly Declared[]): number {
  return declared.reduce((sum, each) => sum + countOf(each), 0) * BYTES[dtype];
}

/** What is wrong with a body of so many bytes. */
export function wrongBytes(
  action: string,
  bytes: number,
  dtype: Dtype,
  declared: readonly Declared[],
): SpecacheError {
  const shapes = declared.map(({ name, shape }) => `${name} ${shape.join(" x ")}`).join(", ");
  const wanted = bytesFor(dtype, declared);
  return new SpecacheError(
    "argument",
    `Cannot ${action}: body of ${bytes} bytes is not ${wanted} bytes: ${shapes} of ${dtype}`,
    { details: { name: "body", bytes, wanted } },
  );
}

/**
 * The tensors of a body, in the order they are declared.
 *
 * @throws {SpecacheError} argument: they need more or fewer bytes than the body has
 */
export function tensorsOf(
  action: string,
  bytes: Uint8Array<ArrayBuffer>,
  dtype: Dtype,
  declared: readonly Declared[],
): Float32Array<ArrayBuffer>[] {
  if (bytes.length !== bytesFor(dtype, declared)) {
    throw wrongBytes(action, bytes.length, dtype, declared);
  }
  const counts = declared.map(countOf);
  let at = 0;
  return counts.map((count) => {
    const numbers = numbersOf(bytes, at, count, dtype);
    at += count * BYTES[dtype];
    return numbers;
  });
}

function countOf({ shape }: Declared): number {
  return shape.reduce((product, each) => product * each, 1);
}

/** Numbers as bytes of f32. */
export function bytesOfNumbers(numbers: Float32Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(numbers.length * 4);
  if (isLittle) {
    bytes.set(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength));
    return bytes;
  }
  const view = new DataView(bytes.buffer);
  numbers.forEach((each, at) => view.setFloat32(at * 4, each, true));
  return bytes;
}

const isLittle = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

function numbersOf(
  bytes: Uint8Array<ArrayBuffer>,
  at: number,
  count: number,
  dtype: Dtype,
): Float32Array<ArrayBuffer> {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, count * BYTES[dtype]);
  const numbers = new Float32Array(count);
  if (dtype === "f32") {
    for (let i = 0; i < count; i++) numbers[i] = view.getFloat32(i * 4, true);
    return numbers;
  }
  const bits = new Uint32Array(numbers.buffer); // the same numbers, as bits
  const widen = dtype === "bf16" ? (half: number) => half << 16 : bitsOfHalf;
  for (let i = 0; i < count; i++) bits[i] = widen(view.getUint16(i * 2, true));
  return numbers;
}

// The bits (f32) of an f16: sign, 5 bits of exponent, 10 of fraction. Every f16 is an f32.
function bitsOfHalf(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = half >> 10 & 31;
  const fraction = half & 1023;
  if (exponent === 31) return sign | 0x7f800000 | fraction << 13;
  if (exponent > 0) return sign | exponent + 112 << 23 | fraction << 13;
  if (fraction === 0) return sign;
  const shift = Math.clz32(fraction) - 21; // until the leading one is where f32 leaves it out
  return sign | 113 - shift << 23 | (fraction << shift & 1023) << 13;
}
