// mutations.ts - small mistakes that can be put in the place of a PTX instruction, to see whether
// the tests notice. Each keeps the registers and their types, so that what it gives is valid PTX.
import { bytesOf, cppTypes, splitList } from "./types.ts";

/** An instruction with a mistake. */
export interface Mutation {
  /** What kind of mistake. */
  readonly operator: string;
  /** The statement in the place of the right one; empty: nothing is done. */
  readonly text: string;
}

interface Parts {
  readonly guard: string;
  readonly opcode: string;
  readonly modifiers: readonly string[];
  readonly operands: readonly string[];
}

const boundary: Readonly<Record<string, string>> = {
  eq: "ne",
  ne: "eq",
  lt: "le",
  le: "lt",
  gt: "ge",
  ge: "gt",
  lo: "ls",
  ls: "lo",
  hi: "hs",
  hs: "hi",
};
// Two reals that are equal are rare, so that <= for < would show nothing.
const direction: Readonly<Record<string, string>> = {
  eq: "ne",
  ne: "eq",
  lt: "gt",
  le: "ge",
  gt: "lt",
  ge: "le",
};
const opposite: Readonly<Record<string, string>> = {
  lt: "ge",
  le: "gt",
  gt: "le",
  ge: "lt",
  lo: "hs",
  ls: "hi",
  hi: "ls",
  hs: "lo",
};
const swapped: Readonly<Record<string, string>> = {
  add: "sub",
  sub: "add",
  min: "max",
  max: "min",
  and: "or",
  or: "and",
  xor: "or",
  shl: "shr",
  shr: "shl",
  rem: "div",
};
const withOneOperand = ["neg", "abs", "not", "sqrt", "rcp", "ex2", "lg2", "rsqrt"];
const withIntegers = /^(add|sub|mul|mad|and|or|xor|shl|shr|setp|selp|mov|min|max|bfe|bfi|prmt)$/;
const atomics: Readonly<Record<string, string>> = {
  add: "max",
  min: "max",
  max: "min",
  and: "or",
  or: "and",
  exch: "add",
  inc: "dec",
  dec: "inc",
};

/** All mistakes that can be made of a statement; none of what does nothing by itself. */
export function mutationsOf(statement: string): Mutation[] {
  const parts = partsOf(statement);
  if (parts === undefined) return [];
  return [
    ...branches(parts),
    ...comparisons(parts),
    ...operations(parts),
    ...sums(parts),
    ...constants(parts),
    ...collectives(parts),
    ...accesses(parts),
  ].filter(({ text }) => text !== statement);
}

function partsOf(statement: string): Parts | undefined {
  const found = statement.match(/^(@!?%?[\w$]+ )?([\w.:]+)(?: (.*))?$/);
  if (found === null || statement.startsWith(".")) return undefined;
  const [opcode, ...modifiers] = found[2].split(".");
  return { guard: found[1] ?? "", opcode, modifiers, operands: splitList(found[3] ?? "") };
}

function statementOf({ guard, opcode, modifiers, operands }: Parts): string {
  return `${guard}${[opcode, ...modifiers].join(".")} ${operands.join(", ")}`;
}

function change(operator: string, parts: Parts, changed: Partial<Parts>): Mutation {
  return { operator, text: statementOf({ ...parts, ...changed }) };
}

function replaceAt<T>(list: readonly T[], at: number, value: T): T[] {
  return list.map((each, i) => i === at ? value : each);
}

function typeOf({ modifiers }: Parts): string {
  return modifiers.findLast((word) => word in cppTypes) ?? "";
}

const isReal = (type: string) => /^b?f\d/.test(type);

function branches(parts: Parts): Mutation[] {
  if (parts.opcode !== "bra" || parts.guard === "") return [];
  const guard = parts.guard.startsWith("@!")
    ? parts.guard.replace("!", "")
    : parts.guard.replace("@", "@!");
  return [change("branch negated", parts, { guard })];
}

function comparisons(parts: Parts): Mutation[] {
  const { opcode, modifiers, operands } = parts;
  if (opcode === "selp") {
    const [to, a, b, predicate] = operands;
    return [change("selection swapped", parts, { operands: [to, b, a, predicate] })];
  }
  if (opcode !== "setp" && opcode !== "set") return [];
  const [test, ...others] = modifiers;
  const unordered = test.endsWith("u");
  const plain = unordered ? test.slice(0, -1) : test;
  const tables = isReal(typeOf(parts)) ? [direction] : [boundary, opposite];
  return tables.flatMap((table) => plain in table ? [table[plain]] : []).map((other) =>
    change("comparison changed", parts, { modifiers: [other + (unordered ? "u" : ""), ...others] })
  );
}

function operations(parts: Parts): Mutation[] {
  const { opcode, modifiers, operands } = parts;
  const type = typeOf(parts);
  if (opcode in swapped) {
    if (operands[2] === "0" && /^(add|sub|shl|shr)$/.test(opcode)) return []; // nothing either way
    const opcodes = { opcode: swapped[opcode] };
    // A shift to the right is of a signed or unsigned type, one to the left of bits.
    if (opcode !== "shl" && opcode !== "shr") return [change("operation changed", parts, opcodes)];
    const shifted = (opcode === "shl" ? "u" : "b") + type.slice(1);
    return [change("operation changed", parts, { ...opcodes, modifiers: [shifted] })];
  }
  if (withOneOperand.includes(opcode)) {
    const plain = type === "pred" || isReal(type) ? type : `b${type.slice(1)}`;
    return [change("operation dropped", parts, { opcode: "mov", modifiers: [plain] })];
  }
  if (opcode === "div") {
    const how = isReal(type) ? ["rn", type] : ["lo", type];
    return [change("operation changed", parts, { opcode: "mul", modifiers: how })];
  }
  if (opcode === "mul" && !modifiers.includes("wide") && !modifiers.includes("hi")) {
    const how = modifiers.filter((word) => word !== "lo");
    return [change("operation changed", parts, { opcode: "add", modifiers: how })];
  }
  if (opcode === "cvt" && (modifiers[0] === "rni" || modifiers[0] === "rzi")) {
    const round = modifiers[0] === "rni" ? "rzi" : "rni";
    return [change("rounding changed", parts, { modifiers: [round, ...modifiers.slice(1)] })];
  }
  if (opcode === "popc") return [change("operation dropped", parts, { opcode: "mov" })];
  return [];
}

function sums(parts: Parts): Mutation[] {
  const { opcode, modifiers, operands } = parts;
  const [to, a, b, c] = operands;
  if (opcode === "mma") {
    const zero = isReal(modifiers.find((word) => word in cppTypes)!) ? "0f00000000" : "0";
    const none = `{${splitList(c.slice(1, -1)).map(() => zero).join(", ")}}`;
    return [change("accumulator dropped", parts, { operands: [to, a, b, none] })];
  }
  if (opcode !== "fma" && opcode !== "mad") return [];
  const product = change("summand dropped", parts, { opcode: "mul", operands: [to, a, b] });
  if (opcode === "mad") return [product];
  return [product, change("factor dropped", parts, { opcode: "add", operands: [to, a, c] })];
}

/** A number one more; a real one zero, or one in the place of zero. */
function constants(parts: Parts): Mutation[] {
  if (!withIntegers.test(parts.opcode) && parts.opcode !== "fma") return [];
  return parts.operands.flatMap((operand, at) => {
    const real = operand.match(/^0([fFdD])([0-9a-fA-F]+)$/);
    let other: string | undefined;
    if (real) {
      const one = real[1].toLowerCase() === "f" ? "3F800000" : "3FF0000000000000";
      other = `0${real[1]}${/^0+$/.test(real[2]) ? one : "0".repeat(real[2].length)}`;
    } else if (/^-?\d+$/.test(operand)) other = String(BigInt(operand) + 1n);
    if (other === undefined || at === 0) return [];
    return [change("constant changed", parts, { operands: replaceAt(parts.operands, at, other) })];
  });
}

function collectives(parts: Parts): Mutation[] {
  const { opcode, modifiers, operands } = parts;
  if (opcode === "bar" || opcode === "barrier") return [{ operator: "barrier removed", text: "" }];
  if (opcode === "vote" && modifiers.includes("ballot")) {
    const own = operands[1].startsWith("!") ? operands[1].slice(1) : `!${operands[1]}`;
    return [change("vote negated", parts, { operands: replaceAt(operands, 1, own) })];
  }
  if (opcode !== "shfl" || !/^\d+$/.test(operands[2])) return [];
  const distance = Number(operands[2]);
  const other = modifiers[1] === "idx" ? distance + 1 : distance < 2 ? 2 : distance / 2;
  const changed = { operands: replaceAt(operands, 2, String(other)) };
  return [change("lane changed", parts, changed)];
}

function accesses(parts: Parts): Mutation[] {
  const { opcode, modifiers, operands } = parts;
  // Parameters of kernels and functions are not checked: what lies beside them is anything.
  if (modifiers.includes("param")) return [];
  if (opcode === "atom" || opcode === "red") {
    const other = modifiers.map((word) => atomics[word] ?? word);
    return [change("atomic operation changed", parts, { modifiers: other })];
  }
  if (opcode !== "ld" && opcode !== "st") return [];
  const at = opcode === "ld" ? 1 : 0;
  const moved = movedBy(operands[at], bytesOf(typeOf(parts)));
  const place = change("place changed", parts, { operands: replaceAt(operands, at, moved) });
  return opcode === "ld" ? [place] : [place, { operator: "store skipped", text: "" }];
}

/** `[base+offset]` with an offset that is larger. */
function movedBy(address: string, bytes: number): string {
  const found = address.match(/^\[([^+\]]+)(?:\+(-?\d+))?\]$/);
  if (found === null) return address;
  return `[${found[1]}+${Number(found[2] ?? 0) + bytes}]`;
}
