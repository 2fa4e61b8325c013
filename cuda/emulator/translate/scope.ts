// scope.ts - the function that is being translated: what its names mean, and operands as C++.
import type { Bytes, Function, Module } from "./parse.ts";
import { bytesOf, cppName, cppTypes, type Place, splitList, unknown } from "./types.ts";

/** An instruction, taken apart. */
export interface Instruction {
  readonly opcode: string;
  readonly modifiers: readonly string[];
  /** The modifiers that are types, in order. */
  readonly types: readonly string[];
  readonly operands: readonly string[];
  readonly place: Place;
}

/** Writes an instruction as C++. */
export type Writer = (instruction: Instruction, scope: Scope) => string;

const geometry: Readonly<Record<string, string>> = {
  tid: "thread",
  ntid: "block_size",
  ctaid: "block",
  nctaid: "grid_size",
};
const registers: Readonly<Record<string, string>> = {
  laneid: "current->lane",
  warpid: "current->warp",
  lanemask_eq: "(1u << current->lane)",
  lanemask_lt: "((1u << current->lane) - 1)",
  lanemask_le: "((2u << current->lane) - 1)",
  lanemask_gt: "~((2u << current->lane) - 1)",
  lanemask_ge: "~((1u << current->lane) - 1)",
  smid: "0u",
  nsmid: "1u",
};

/** Names of one function and its module. */
export class Scope {
  readonly module: Module;
  readonly function: Function;
  /** C++ lines that come first: registers and local memory. */
  readonly head: string[] = [];
  readonly targets = new Map<string, readonly string[]>();
  readonly #shared = new Set<string>();
  readonly #local = new Set<string>();
  readonly #parameters: Set<string>;

  constructor(module: Module, made: Function) {
    this.module = module;
    this.function = made;
    this.#parameters = new Set([...made.parameters, ...made.results].map(({ name }) => name));
    for (const { name } of module.shared) this.#shared.add(name);
  }

  /** Makes a name of the body known. */
  declare(space: "shared" | "local" | "param", { name }: Bytes): void {
    const set = { shared: this.#shared, local: this.#local, param: this.#parameters }[space];
    set.add(name);
  }

  isParameter(name: string): boolean {
    return this.#parameters.has(name);
  }

  /** An operand as a C++ value, of whatever type its bits have. */
  operand(text: string, place: Place): string {
    const part = text.match(/^%(\w+)\.([xyz])$/);
    if (part && part[1] in geometry) return `current->${geometry[part[1]]}.${part[2]}`;
    if (text.startsWith("!")) return `!${this.operand(text.slice(1), place)}`;
    if (text === "WARP_SZ") return "32u";
    if (text.startsWith("%")) return registers[text.slice(1)] ?? cppName(text);
    if (/^0[fF][0-9a-fA-F]{8}$/.test(text)) return `as<float>(0x${text.slice(2)}u)`;
    if (/^0[dD][0-9a-fA-F]{16}$/.test(text)) return `as<double>(0x${text.slice(2)}ull)`;
    if (/^-?(0x[0-9a-fA-F]+|\d+)U?$/.test(text)) return integer(text);
    const name = cppName(text);
    if (this.#shared.has(text)) return `shared_address(${name}, EMULATOR_HERE)`;
    if (this.module.variables.some((variable) => variable.name === text)) {
      return `${name}.address()`;
    }
    if (this.#local.has(text) || this.#parameters.has(text)) {
      return `reinterpret_cast<uint64_t>(${name})`;
    }
    if (this.module.functions.some((made) => made.name === text)) {
      throw unknown(`the address of the function ${text} is taken`, place);
    }
    if (/^[\w$]+$/.test(text)) return name; // a register that inline assembly declared
    throw unknown(`operand ${text}`, place);
  }

  /** The same, taken as a value of a PTX type. */
  value(text: string, type: string, place: Place): string {
    return `as<${cppTypes[type]}>(${this.operand(text, place)})`;
  }

  /** `[base+offset]` as its two parts, in C++. */
  address(text: string, place: Place): { base: string; name: string; offset: string } {
    const parts = text.match(/^\[\s*([^+\]\s]+)(?:\s*\+\s*(-?\w+))?\s*\]$/);
    if (parts === null) throw unknown(`address ${text}`, place);
    return {
      name: parts[1],
      base: this.operand(parts[1], place),
      offset: parts[2] === undefined ? "0" : integer(parts[2]),
    };
  }

  /** A pointer to `count` values of a type in a space, checked. */
  pointer(text: string, space: string, type: string, count: number, place: Place): string {
    const { base, offset } = this.address(text, place);
    const bytes = bytesOf(type) * count;
    return `place<Space::${space}>(${base} + ${offset}, ${bytes}, EMULATOR_HERE)`;
  }
}

/** The C++ that gives a register a value; `_` takes none. */
export function assign(register: string, value: string): string {
  return register === "_" ? `(void)(${value});` : `set(${cppName(register)}, ${value});`;
}

/** The registers of `{a, b}`, or the one. */
export function vector(text: string): string[] {
  return text.startsWith("{") ? splitList(text.slice(1, -1)) : [text];
}

function integer(text: string): string {
  const negative = text.startsWith("-");
  const digits = BigInt(text.replace(/^-|U$/g, ""));
  const bits = BigInt.asUintN(64, negative ? -digits : digits);
  return `int64_t(0x${bits.toString(16)}ull)`;
}
