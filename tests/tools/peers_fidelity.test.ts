import { readFileSync } from "node:fs";
import { scriptOf } from "../../bench/peers/fidelity/run.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { assertArrayIncludes, assertEquals, assertThrows, test } from "../harness.ts";

const linesOf = (name: string) =>
  readFileSync(new URL(`../../bench/peers/fidelity/${name}`, import.meta.url), "utf8")
    .split("\n").filter((line) => line !== "" && !line.startsWith("#"));

test("every package that the rivals need is pinned, and what it brings along too", () => {
  const [direct, all] = [linesOf("requirements.txt"), linesOf("constraints.txt")];
  assertEquals([...direct, ...all].filter((line) => !/^[\w.-]+==[\w.]+$/.test(line)), []);
  assertArrayIncludes(all, direct);
});

test("scriptOf() takes documents and an output, and sees whether a model is named", () => {
  assertEquals(scriptOf(["d.jsonl", "o.json"]), { script: "fidelity.py", named: false });
  assertEquals(scriptOf(["d", "o", "--model", "m"]), { script: "fidelity.py", named: true });
  assertEquals(scriptOf(["--check"]), { script: "check.py", named: false });
});

test("scriptOf() refuses one file where two are needed", () => {
  const error = assertThrows(() => scriptOf(["d.jsonl", "--threads", "2"]), SpecacheError);
  assertEquals([error.code, error.message], [
    "argument",
    "Cannot compare rivals: 1 files are given, documents and output are needed",
  ]);
});
