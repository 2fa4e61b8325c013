import { SpecacheError } from "../../engine/errors.ts";
import { writeConfig, writeOptions, writeStepShares, writeTensor } from "../../ffi/structs.ts";
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

test("writeStepShares() writes one share behind the other", () => {
  const share = { sequence: 2 ** 32 + 5, inputs: 2, trusted: 1, k: 7, late: 2, lateAbove: 0.5 };
  const written = writeStepShares([{ ...share, logits: 1 }, { ...share, inputs: 3, logits: 0 }]);
  const half = 0x3f000000;
  assertEquals([...written], [5, 1, 2, 1, 7, 2, half, 1, 5, 1, 3, 1, 7, 2, half, 0]);
  assertEquals(writeStepShares([]).length, 0);
});

test("writeOptions() refuses a field that is left out", () => {
  const partial = { k: 1, late: 0 } as Parameters<typeof writeOptions>[0];
  assertThrows(() => writeOptions(partial), SpecacheError, "lateAbove undefined is not a number");
});
