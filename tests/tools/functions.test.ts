import { functionLines } from "../../tools/functions.ts";
import { assertEquals, test } from "../harness.ts";

// Source, and the lines of its functions in the order of their ends.
const sources: readonly [string, string, number[]][] = [
  ["a function", "function f(a: number) {\n  g();\n}", [3]],
  ["a function with a result's type", "function f(): Promise<Map<string, A | B>> {\n}", [2]],
  ["a head of several lines", "function f(\n  a: number,\n): void {\n}", [4]],
  ["a method and a getter", "class A {\n  b() {\n  }\n  get c() {\n  }\n}", [2, 2]],
  ["an arrow in a call", 'test("x", () => {\n  g();\n});', [3]],
  ["an inner function before its outer", "function f() {\n  g(() => {\n  });\n}", [2, 4]],
  ["a C++ method", "int A::f(int a) const noexcept {\n    return 1;\n}", [3]],
  ["a C++ constructor", "A::A(int a) : b(a), c(2) {\n}", [2]],
  ["C++ lambdas", "auto f = [&](int a) -> int {\n};\nauto g = [=] {\n};", [2, 2]],
  ["a function with a control structure", "void f() {\n  if (a) {\n  }\n}", [4]],
];
for (const [what, source, lines] of sources) {
  test(`functionLines() counts ${what}`, () => {
    assertEquals(functionLines(source).map((each) => each.lines), lines);
  });
}

const others: readonly [string, string][] = [
  ["control structures", "if (a) {\n} else if (b()) {\n}\nfor (i = 0; i < 3; i++) {\n}\ndo {\n}"],
  ["classes, namespaces and objects", "class A extends B {\n}\nnamespace a {\n}\nconst b = {\n};"],
  ["comments", "// f() {\n/* g() {\n} */"],
  ["strings and templates", "const a = 'f() {', b = \"g() {\", c = `h() {\n`;"],
  ["regular expressions", "a.match(/f() {/); const b = /[/{]f() {/g;"],
];
for (const [what, source] of others) {
  test(`functionLines() finds none in ${what}`, () => assertEquals(functionLines(source), []));
}

test("functionLines() is not misled by digits that a quote separates", () => {
  assertEquals(functionLines("int f() {\n  return 1'000;\n}\nchar c = '{';").length, 1);
});
