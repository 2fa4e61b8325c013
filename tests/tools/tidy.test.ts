import { symbols } from "../../ffi/symbols.ts";
import { checkExports, checkText } from "../../tools/tidy.ts";
import { assertEquals, test } from "../harness.ts";

test("checkText() accepts 100 columns and refuses 101, in code alone", () => {
  assertEquals(checkText("a.ts", "x".repeat(100)), []);
  assertEquals(checkText("a.ts", "x".repeat(101)), ["a.ts:1: 101 columns are above 100"]);
  assertEquals(checkText("a.md", "x".repeat(101)), []);
});

test("checkText() counts characters, not bytes", () => {
  assertEquals(checkText("a.ts", "\u00e9\u{1f600}".repeat(50)), []);
});

test("checkText() accepts 400 lines and refuses 401", () => {
  assertEquals(checkText("a.h", "x\n".repeat(400)), []);
  assertEquals(checkText("a.h", "x\n".repeat(401)), ["a.h:401: 401 lines are above 400 of a file"]);
});

test("checkText() accepts a function of 70 lines and refuses one of 71", () => {
  const body = (lines: number) => `\nfunction f() {\n${"x();\n".repeat(lines - 2)}}\n`;
  assertEquals(checkText("a.ts", body(70)), []);
  assertEquals(checkText("a.ts", body(71)), ["a.ts:2: 71 lines are above 70 of a function"]);
});

test("checkText() refuses spaces at an end", () => {
  assertEquals(checkText("a.md", "a\nb "), ["a.md:2: ends in a space"]);
});

const banned = [["TO", "DO"], ["FIX", "ME"], ["X", "XX"], ["Simp", "ly"]].map((parts) =>
  parts.join("")
);
for (const word of [...banned, ["/wo", "rk/main"].join(""), ["../sha", "red"].join("")]) {
  test(`checkText() refuses ${JSON.stringify(word.slice(0, 4))}... in code and documents`, () => {
    assertEquals(checkText("a.ts", `// ${word} it`).length, 1);
    assertEquals(checkText("docs/a.md", `see ${word}`).length, 1);
  });
}

test("checkText() accepts words that only hold a banned one", () => {
  assertEquals(checkText("a.ts", "// networks/worker.ts, a simplified XXXL, ./work-load"), []);
});

test("checkExports() accepts the functions of ffi/ and names one missing or too many", () => {
  const nm = (names: readonly string[]) =>
    names.map((name) => `0000 T ${name}\n`).join("") + "0000 W _ZNSt6vectorIiE\n";
  const names = Object.keys(symbols);
  assertEquals(checkExports(nm(names)), []);
  assertEquals(checkExports(nm(names.slice(1))), [
    `native/specache.h:1: ${names[0]} is not in the built library`,
  ]);
  assertEquals(checkExports(nm([...names, "other"])), [
    "native/specache.h:1: the built library gives away other",
  ]);
});
