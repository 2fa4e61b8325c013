// arithmetic.ts - instructions that read registers and write registers.
import { assign, type Instruction, type Scope, vector, type Writer } from "./scope.ts";
import { bytesOf, cppTypes, unknown } from "./types.ts";

const wider: Readonly<Record<string, string>> = { s16: "s32", u16: "u32", s32: "s64", u32: "u64" };
const comparisons: Readonly<Record<string, string>> = {
  eq: "==",
  ne: "!=",
  lt: "<",
  le: "<=",
  gt: ">",
  ge: ">=",
  lo: "<",
  ls: "<=",
  hi: ">",
  hs: ">=",
};

/** opcodes -> [modifiers that may stand beside types, writer]. */
export const arithmetic: Readonly<Record<string, readonly [string, Writer]>> = {
  "add sub div": ["rn rz rm rp ftz sat approx full", plain],
  "min max": ["ftz", plain],
  "and or xor not rem abs neg sad clz popc brev mul24": ["lo ftz", plain],
  "sqrt rsqrt rcp sin cos lg2 ex2 tanh": ["rn approx ftz", plain],
  "copysign bmsk": ["clamp", plain],
  "mul mad": ["lo hi wide rn rz rm rp ftz sat", multiply],
  fma: ["rn rz rm rp ftz sat relu", multiplyAdd],
  "shl shr": ["", (instruction, scope) => call(instruction, scope, ["", "u32"])],
  bfe: ["", (instruction, scope) => call(instruction, scope, ["", "u32", "u32"])],
  bfi: ["", (instruction, scope) => call(instruction, scope, ["", "", "u32", "u32"])],
  bfind: ["shiftamt", findBit],
  "dp4a dp2a": ["lo hi", dotProduct],
  "lop3 prmt fns": ["", ofWords],
  shf: ["l r wrap clamp", funnelShift],
  selp: ["", select],
  setp: ["eq ne lt le gt ge lo ls hi hs equ neu ltu leu gtu geu num nan and or xor ftz", compare],
  set: ["eq ne lt le gt ge ftz", compareInto],
  testp: ["number infinite finite normal subnormal", test],
  mov: ["", move],
  cvt: ["rn rz rm rp rna rni rzi rmi rpi ftz sat relu pack", convert],
};

function typeOf({ types, opcode, place }: Instruction): string {
  const type = types.at(-1);
  if (type === undefined) throw unknown(`${opcode} has no type`, place);
  return type;
}

/** `name_<T>(operands)`; the operands' types are the instruction's where none is named. */
function call(instruction: Instruction, scope: Scope, types: string[], name?: string): string {
  const { operands, place } = instruction;
  const own = typeOf(instruction);
  const values = types.map((type, i) => scope.value(operands[i + 1], type || own, place));
  const round = instruction.modifiers.find((word) => /^r[zmp]$/.test(word));
  if (round !== undefined && own !== "f32") throw unknown(`${round} of ${own}`, place);
  const operation = `${name ?? instruction.opcode}_`;
  const called = round === undefined
    ? `${operation}<${cppTypes[own]}>(${values.join(", ")})`
    : `rounded_${operation}(Round::${round}, ${values.join(", ")})`;
  const saturated = instruction.modifiers.includes("sat") && !/^[su]/.test(own);
  if (instruction.modifiers.includes("sat") && !saturated) throw unknown("sat of integers", place);
  return assign(operands[0], saturated ? `saturate(${called})` : called);
}

function plain(instruction: Instruction, scope: Scope): string {
  return call(instruction, scope, instruction.operands.slice(1).map(() => ""));
}

function multiply(instruction: Instruction, scope: Scope): string {
  const { opcode, modifiers, operands, place } = instruction;
  if (modifiers.includes("wide")) {
    const type = typeOf(instruction);
    const wide = wider[type];
    const [a, b] = operands.slice(1, 3).map((text) =>
      `${cppTypes[wide]}(${scope.value(text, type, place)})`
    );
    const sum = opcode === "mad" ? ` + ${scope.value(operands[3], wide, place)}` : "";
    return assign(operands[0], `${a} * ${b}${sum}`);
  }
  const name = modifiers.includes("hi") ? `${opcode}_hi` : opcode;
  return call(instruction, scope, operands.slice(1).map(() => ""), name);
}

function multiplyAdd(instruction: Instruction, scope: Scope): string {
  const { modifiers, operands, place } = instruction;
  const type = cppTypes[typeOf(instruction)];
  const code = call(instruction, scope, ["", "", ""]);
  if (!modifiers.includes("relu")) return code;
  const result = scope.value(operands[0], typeOf(instruction), place);
  return `${code} ${assign(operands[0], `max_<${type}>(${result}, ${type}{})`)}`;
}

function findBit(instruction: Instruction, scope: Scope): string {
  const { modifiers, operands, place } = instruction;
  const value = scope.value(operands[1], typeOf(instruction), place);
  return assign(operands[0], `bfind_(${value}, ${modifiers.includes("shiftamt")})`);
}

function dotProduct({ opcode, types, modifiers, operands, place }: Instruction, scope: Scope) {
  const [a, b] = types.map((type) => type.startsWith("s"));
  const wide = opcode === "dp2a" ? 16 : 8;
  const name = (signed: boolean, bits: number) => `${signed ? "" : "u"}int${bits}_t`;
  const values = operands.slice(1).map((text) => scope.value(text, "u32", place));
  if (opcode === "dp2a") values.push(String(modifiers.includes("hi")));
  return assign(operands[0], `${opcode}<${name(a, wide)}, ${name(b, 8)}>(${values.join(", ")})`);
}

function ofWords({ opcode, operands, place }: Instruction, scope: Scope): string {
  const values = operands.slice(1).map((text) => scope.value(text, "u32", place));
  return assign(operands[0], `${opcode}(${values.join(", ")})`);
}

function funnelShift({ modifiers, operands, place }: Instruction, scope: Scope): string {
  const values = operands.slice(1).map((text) => scope.value(text, "u32", place));
  const [left, wrap] = ["l", "wrap"].map((word) => modifiers.includes(word));
  return assign(operands[0], `shf(${left}, ${values.join(", ")}, ${wrap})`);
}

function select(instruction: Instruction, scope: Scope): string {
  const { operands, place } = instruction;
  const [a, b] = operands.slice(1, 3).map((text) => scope.value(text, typeOf(instruction), place));
  return assign(operands[0], `${scope.operand(operands[3], place)} ? ${a} : ${b}`);
}

function comparison(test: string, a: string, b: string, instruction: Instruction): string {
  if (test === "nan") return `unordered(${a}, ${b})`;
  if (test === "num") return `!unordered(${a}, ${b})`;
  if (test in comparisons) return `widen(${a}) ${comparisons[test]} widen(${b})`;
  const ordered = comparisons[test.replace(/u$/, "")];
  if (ordered === undefined) throw unknown(`comparison ${test}`, instruction.place);
  return `unordered(${a}, ${b}) || widen(${a}) ${ordered} widen(${b})`;
}

function compare(instruction: Instruction, scope: Scope): string {
  const { modifiers, operands, place } = instruction;
  const type = typeOf(instruction);
  if (type.endsWith("x2")) throw unknown(`setp of ${type}`, place);
  const [p, q] = operands[0].split("|");
  const [a, b] = operands.slice(1, 3).map((text) => scope.value(text, type, place));
  const value = comparison(modifiers[0], a, b, instruction);
  const joined = ({ and: "&&", or: "||", xor: "!=" } as Record<string, string>)[modifiers[1]];
  const join = (value: string) =>
    joined === undefined ? value : `(${value}) ${joined} ${scope.operand(operands[3], place)}`;
  if (q === undefined) return assign(p, join(value));
  // Both are told from the operands as they were: p may be one of them.
  return `{ bool first = ${join(value)}, second = ${join(`!(${value})`)}; ` +
    `${assign(p, "first")} ${assign(q, "second")} }`;
}

function compareInto(instruction: Instruction, scope: Scope): string {
  const { modifiers, types, operands, place } = instruction;
  if (types.some((type) => type.endsWith("x2"))) throw unknown("set of pairs", place);
  const [a, b] = operands.slice(1, 3).map((text) => scope.value(text, types[1], place));
  const value = comparison(modifiers[0], a, b, instruction);
  const [yes, no] = types[0] === "f32" ? ["1.0f", "0.0f"] : ["~0u", "0u"];
  return assign(operands[0], `(${value}) ? ${yes} : ${no}`);
}

function test(instruction: Instruction, scope: Scope): string {
  const { modifiers, operands, place } = instruction;
  const value = scope.value(operands[1], typeOf(instruction), place);
  return assign(operands[0], `testp(Test::${modifiers[0]}, ${value})`);
}

function move(instruction: Instruction, scope: Scope): string {
  const { operands: [to, from], place } = instruction;
  const type = typeOf(instruction);
  if (from.startsWith("{")) {
    const pieces = vector(from);
    const bits = bytesOf(type) * 8 / pieces.length;
    const shifted = pieces.map((text, i) =>
      `uint64_t(${scope.value(text, `u${bits}`, place)}) << ${i * bits}`
    );
    return assign(to, shifted.join(" | "));
  }
  if (to.startsWith("{")) {
    const pieces = vector(to);
    const bits = bytesOf(type) * 8 / pieces.length;
    const parts = pieces.map((text, i) => assign(text, `uint${bits}_t(whole >> ${i * bits})`));
    return `{ uint64_t whole = as<uint64_t>(${scope.value(from, type, place)}); ${
      parts.join(" ")
    } }`;
  }
  return assign(to, scope.value(from, type, place));
}

function convert(instruction: Instruction, scope: Scope): string {
  const { modifiers, types, operands, place } = instruction;
  const [to, from] = types;
  if (from === undefined) throw unknown(`cvt.${modifiers.join(".")}`, place);
  const round = `Round::${modifiers.find((word) => /^r(n|z|m|p|na)i?$/.test(word)) ?? "none"}`;
  const value = (text: string, type = from) => scope.value(text, type, place);
  if (modifiers.includes("pack")) {
    const half = bytesOf(to) * 8;
    const [a, b] = operands.slice(1, 3).map((text) =>
      `uint32_t(uint${half}_t(to_smaller_integer<${cppTypes[to]}>(${value(text, "s32")})))`
    );
    const above = operands[3] === undefined ? "" : ` | ${value(operands[3], "u32")} << 16`;
    return assign(operands[0], `${a} << ${half} | ${b}${above}`);
  }
  const relu = modifiers.includes("relu");
  if (to.endsWith("x2")) {
    const [high, low] = operands.slice(1, 3).map((text) => value(text, "f32"));
    const half = cppTypes[to].slice(0, -2);
    return assign(operands[0], `pack<${half}>(${high}, ${low}, ${round}, ${relu})`);
  }
  if (relu) throw unknown("cvt.relu of a single value", place);
  if (to === "tf32") {
    return assign(operands[0], `(as<uint32_t>(${value(operands[1])}) + 0x1000) & ~0x1fffu`);
  }
  const saturated = modifiers.includes("sat");
  return assign(
    operands[0],
    `convert<${cppTypes[to]}>(${value(operands[1])}, ${round}, ${saturated})`,
  );
}
