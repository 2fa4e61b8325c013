import { SpecacheError } from "../../engine/errors.ts";
import {
  structs,
  wordsOf,
  writeConfig,
  writeOptions,
  writeStepShare,
  writeTensor,
} from "../../ffi/structs.ts";
import { assertEquals, assertThrows, test } from "../harness.ts";

const config = {
  layers: 1,
  kvHeads: 2,
  queryHeads: 3,
  headDim: 4,
  kvType: 5,
  scale: 0.5,
  mode: 7,
  rule: 26,
  keyBits: 8,
  valueBits: 9,
  group: 10,
  kMax: 11,
  slots: 12,
  far: 13,
  farBytes: 15 * 2 ** 32 + 14,
  nearBytes: 2 ** 53 - 1,
  tokensMax: 18,
  sequencesMax: 19,
  pages: 31,
  chunkTokens: 20,
  guessesMax: 21,
  threads: 22,
  device: 23,
  prefetch: 28,
  logitsBytes: 29,
  prefill: 30,
  isa: 24,
  audit: 27,
  variant: 25,
};

test("writeConfig() writes 31 numbers in the header's order, 64 bits as low and high", () => {
  const half = 0x3f000000; // 0.5 as f32
  assertEquals(
    [...writeConfig(config)],
    [1, 2, 3, 4, 5, half, 7, 26, 8, 9, 10, 11, 12, 13, 14, 15, 2 ** 32 - 1, 2 ** 21 - 1]
      .concat([18, 19, 31, 20, 21, 22, 23, 28, 29, 30, 24, 27, 25]),
  );
});

test("a struct's order does not depend on the object's", () => {
  const turned = Object.fromEntries(Object.entries(config).reverse()) as typeof config;
  assertEquals(writeConfig(turned), writeConfig(config));
});

test("writeOptions() writes infinity as its bits", () => {
  assertEquals([...writeOptions({ k: 0, late: 2, lateAbove: Infinity })], [0, 2, 0x7f800000]);
});

test("writeTensor() accepts 2**32 - 1 and refuses 2**32 rows", () => {
  const tensor = { role: 0, layer: 0, type: 0, rows: 2 ** 32 - 1, columns: 1, offset: 0 };
  assertEquals(writeTensor(tensor)[3], 2 ** 32 - 1);
  assertThrows(
    () => writeTensor({ ...tensor, rows: 2 ** 32 }),
    SpecacheError,
    "Cannot call libspecache: rows 4294967296 is above 4294967295",
  );
});

for (const [value, relation] of [[1.5, "is not a whole number"], [-1, "is below 0"]] as const) {
  test(`writeOptions() refuses k ${value}`, () => {
    assertThrows(
      () => writeOptions({ k: value, late: 0, lateAbove: 0 }),
      SpecacheError,
      `k ${value} ${relation}`,
    );
  });
}

test("writeStepShare() writes the header's fields, one share behind the other, and no more", () => {
  const options = writeOptions({ k: 7, late: 2, lateAbove: 0.5 });
  const share = { sequence: 2n ** 32n * 3n + 5n, inputs: [8, 8], trusted: 1, options };
  const words = new Uint32Array(2 * wordsOf(structs.specache_step_share) + 1).fill(9);
  const behind = writeStepShare({ ...share, logits: new Float32Array(2) }, words, 0);
  assertEquals(behind, wordsOf(structs.specache_step_share));
  const end = writeStepShare({ ...share, inputs: [8, 8, 8], logits: null }, words, behind);
  assertEquals(end, 2 * behind);
  const half = 0x3f000000;
  assertEquals([...words], [5, 3, 2, 1, 7, 2, half, 1, 5, 3, 3, 1, 7, 2, half, 0, 9]);
  assertEquals(Object.keys(structs.specache_step_share), [
    ...["sequence", "inputs", "trusted", "k", "late", "lateAbove", "logits"], // as written above
  ]);
});

test("writeOptions() refuses a field that is left out", () => {
  const partial = { k: 1, late: 0 } as Parameters<typeof writeOptions>[0];
  assertThrows(() => writeOptions(partial), SpecacheError, "lateAbove undefined is not a number");
});
