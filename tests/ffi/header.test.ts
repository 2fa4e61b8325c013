import { readFileSync } from "node:fs";
import { compareHeader, readHeader } from "../../tools/header.ts";
import { assertEquals, assertStringIncludes, assertThrows, test } from "../harness.ts";

const source = readFileSync(new URL("../../native/specache.h", import.meta.url), "utf8");

test("the tables of ffi/ say what native/specache.h says", () => {
  assertEquals(compareHeader(readHeader(source)), []);
});

test("readHeader() finds every struct, enum and function", () => {
  const header = readHeader(source);
  assertEquals(Object.keys(header.structs).length, 7);
  assertEquals(header.enums.length, 6);
  assertEquals(
    Object.keys(header.functions).length,
    [...source.matchAll(/^u?int32_t specache_/gm)].length,
  );
});

const changes: readonly [string, RegExp, string][] = [
  ["two fields that change places", /layers, kv_heads/, "kv_heads, layers"],
  ["a new field", /uint32_t device;/, "uint32_t device, stream;"],
  ["another enum value", /SPECACHE_BUSY = 9/, "SPECACHE_BUSY = 11"],
  ["a new counter", /SPECACHE_STATS_COUNT = 12/, "SPECACHE_STATS_PAGES = 12"],
  ["another argument type", /uint32_t keep\);/, "uint64_t keep);"],
  ["a function less", /int32_t specache_cancel\(uint64_t store\);/, ""],
  ["another ABI version", /ABI_VERSION \d+u/, "ABI_VERSION 0u"],
];
for (const [what, from, to] of changes) {
  test(`compareHeader() reports ${what}`, () => {
    const changed = source.replace(from, to);
    assertStringIncludes(compareHeader(readHeader(changed)).join("\n"), "the header has");
  });
}

test("readHeader() refuses a type that the ABI does not have", () => {
  assertThrows(
    () => readHeader("int32_t specache_x(size_t bytes);"),
    Error,
    "type size_t is not known",
  );
});
