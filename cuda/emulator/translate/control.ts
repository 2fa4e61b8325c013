// control.ts - branches, calls and the ends of kernels.
import type { Instruction, Scope, Writer } from "./scope.ts";
import { cppName, unknown } from "./types.ts";

/** opcodes -> [modifiers that may stand beside types, writer]. */
export const control: Readonly<Record<string, readonly [string, Writer]>> = {
  ret: ["uni", () => "return;"],
  exit: ["", exit],
  trap: ["", () => 'fail(EMULATOR_HERE, "trap");'],
  bra: ["uni", ({ operands }) => `goto ${cppName(operands[0])};`],
  brx: ["idx uni", branchByIndex],
  call: ["uni", call],
  nanosleep: ["", () => ""],
};

function exit({ place }: Instruction, scope: Scope): string {
  if (!scope.function.entry) throw unknown("exit in a device function", place);
  return "return;";
}

function branchByIndex({ operands, place }: Instruction, scope: Scope): string {
  const targets = scope.targets.get(operands[1]);
  if (targets === undefined) throw unknown(`no targets ${operands[1]}`, place);
  const cases = targets.map((label, i) => `case ${i}: goto ${cppName(label)};`);
  return `switch (${scope.value(operands[0], "u32", place)}) { ${cases.join(" ")} }`;
}

/** call (results), function, (parameters); results and parameters may be missing. */
function call({ operands, place }: Instruction, scope: Scope): string {
  const name = operands.find((text) => /^[\w$]+$/.test(text));
  const lists = operands.filter((text) => text.startsWith("("))
    .map((text) => text.slice(1, -1).split(",").map((part) => part.trim()).filter(Boolean));
  const given = lists.flat().map(cppName);
  if (name === "vprintf") return printed(given);
  if (name === "__assertfail") {
    const text = `reinterpret_cast<const char *>(load_parameter<uint64_t>(${given[0]}, 0))`;
    return `fail(EMULATOR_HERE, "assertion %s", ${text});`;
  }
  const known = scope.module.functions.some((made) => made.name === name && !made.entry);
  if (name === undefined || !known) throw unknown(`call of ${name ?? operands.join()}`, place);
  return `${cppName(name)}(${given.join(", ")});`;
}

function printed([result, format, values]: readonly string[]): string {
  const pointer = (name: string, type: string) =>
    `reinterpret_cast<const ${type} *>(load_parameter<uint64_t>(${name}, 0))`;
  return `store_parameter(${result}, 0, print(${pointer(format, "char")}, ` +
    `${pointer(values, "unsigned char")}));`;
}
