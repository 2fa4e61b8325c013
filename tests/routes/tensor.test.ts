import { SpecacheError } from "../../mod.ts";
import { bytesOfNumbers, type Dtype, tensorsOf } from "../../routes/tensor.ts";
import { assertEquals, assertMatch, assertThrows, test } from "../harness.ts";

// Every f16, by the rule of its bits.
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const [exponent, fraction] = [bits >> 10 & 31, bits & 1023];
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function read(dtype: Dtype, bytes: Uint8Array<ArrayBuffer>, count: number): Float32Array {
  return tensorsOf("read", bytes, dtype, [{ name: "keys", shape: [count] }])[0];
}

test("tensorsOf() reads every f16 as the number that it is", () => {
  const bytes = new Uint8Array(2 ** 17);
  const view = new DataView(bytes.buffer);
  for (let bits = 0; bits < 2 ** 16; bits++) view.setUint16(bits * 2, bits, true);
  read("f16", bytes, 2 ** 16).forEach((number, bits) => {
    if (!Object.is(number, half(bits))) assertEquals(number, half(bits), `${bits}`);
  });
});

test("tensorsOf() reads bf16 as the upper half of f32", () => {
  const numbers = [0, -0, 1, -2.5, 2 ** -126, 3.3895313892515355e38, Infinity, -Infinity];
  const bytes = new Uint8Array(numbers.length * 2);
  const view = new DataView(bytes.buffer);
  const bits = new Uint32Array(new Float32Array(numbers).buffer);
  bits.forEach((each, at) => view.setUint16(at * 2, each >>> 16, true));
  assertEquals([...read("bf16", bytes, numbers.length)], numbers);
});

test("tensorsOf() reads f32, and bytesOfNumbers() writes it, little-endian", () => {
  const bytes = bytesOfNumbers(new Float32Array([1, -2]));
  assertEquals([...bytes], [0, 0, 128, 63, 0, 0, 0, 192]);
  assertEquals([...read("f32", bytes, 2)], [1, -2]);
  const part = new Float32Array([9, 1, -2, 9]).subarray(1, 3);
  assertEquals(bytesOfNumbers(part), bytes);
});

test("tensorsOf() cuts a body into its tensors, wherever its bytes begin", () => {
  const bytes = new Uint8Array([255, ...bytesOfNumbers(new Float32Array([1, 2, 3, 4]))])
    .subarray(1);
  const declared = [{ name: "keys", shape: [1, 3, 1] }, { name: "values", shape: [1, 1, 1] }];
  const [keys, values] = tensorsOf("read", bytes, "f32", declared);
  assertEquals([[...keys], [...values]], [[1, 2, 3], [4]]);
});

test("tensorsOf() refuses a byte more or less than the shapes need, with both numbers", () => {
  const declared = [{ name: "keys", shape: [2, 3] }, { name: "values", shape: [1] }];
  for (const [dtype, wanted] of [["f32", 28], ["bf16", 14], ["f16", 14]] as const) {
    for (const length of [0, wanted - 1, wanted + 1]) {
      const error = assertThrows(
        () => tensorsOf("read", new Uint8Array(length), dtype, declared),
        SpecacheError,
      );
      assertMatch(
        error.message,
        new RegExp(
          `^Cannot read: body of ${length} bytes is not ${wanted} bytes: keys 2 x 3, values 1 of`,
        ),
      );
    }
    assertEquals(tensorsOf("read", new Uint8Array(wanted), dtype, declared).length, 2);
  }
});
