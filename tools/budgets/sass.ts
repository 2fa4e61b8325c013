// sass.ts - counts of a kernel's machine code, without a disassembler: an instruction is 16 bytes,
// its low 12 bits are the opcode. The encoding is not documented: what is counted here was found by
// comparing small kernels, and confirmControls() refuses a compiler or target where control.cu does
// not give the counts it must.
import { SpecacheError } from "../../engine/errors.ts";

/** What is told of a kernel's code. Instructions are those of a warp. */
export interface CodeCounts {
  /** Without the padding behind the last one. */
  readonly instructions: number;
  readonly globalLoads: number;
  /** Of the global loads those of 128 bits. */
  readonly wideLoads: number;
  /** By an address that may be of any memory. */
  readonly genericLoads: number;
  readonly globalStores: number;
  readonly sharedLoads: number;
  /** Products of 8-bit integers by the tensor cores. */
  readonly products: number;
  /** Products of 16-bit numbers by the tensor cores. */
  readonly halfProducts: number;
  readonly shuffles: number;
  readonly barriers: number;
}

/** A stretch of code that a branch at its end repeats. */
export interface Loop extends CodeCounts {
  /** Instruction numbers, the branch included. */
  readonly first: number;
  readonly last: number;
  /** How many loops are around it. */
  readonly depth: number;
}

const INSTRUCTION_BYTES = 16;
const OPCODES = {
  globalLoads: 0x981,
  genericLoads: 0x980,
  globalStores: 0x986,
  sharedLoads: 0x984,
  products: 0x237,
  halfProducts: 0x23c,
  shuffles: 0xf89,
  barriers: 0xb1d,
} as const;
const PADDING = 0x918;
const BRANCHES: readonly number[] = [0x947, 0x547]; // by a predicate, by a uniform one
const WIDE = 6; // bits 73-75 of a load: 4, 5, 6 are 32, 64, 128 bits

interface Instruction {
  readonly opcode: number;
  readonly width: number;
  /** Instruction number where a branch goes. */
  readonly to: number | null;
}

/** The counts of a section .text of a cubin for sm_`target`. */
export function countCode(text: Uint8Array, target: number): CodeCounts {
  return countsOf(decode(text, target));
}

/** The loops of a section, in the order of their ends. A branch to itself is a trap, no loop. */
export function findLoops(text: Uint8Array, target: number): Loop[] {
  const code = decode(text, target);
  const spans = code.flatMap(({ to }, last) =>
    to !== null && to >= 0 && to < last ? [{ first: to, last }] : []
  );
  return spans.map(({ first, last }) => ({
    ...{ first, last },
    depth: spans.filter((other) => other.first <= first && last < other.last).length,
    ...countsOf(code.slice(first, last + 1)),
  }));
}

function decode(text: Uint8Array, target: number): Instruction[] {
  if (text.length % INSTRUCTION_BYTES !== 0) {
    throw new SpecacheError("device", `Cannot read code: ${text.length} bytes are no whole number`);
  }
  const view = new DataView(text.buffer, text.byteOffset, text.byteLength);
  const code: Instruction[] = [];
  for (let at = 0; at < text.length; at += INSTRUCTION_BYTES) {
    const [low, high] = [view.getBigUint64(at, true), view.getBigUint64(at + 8, true)];
    const opcode = Number(low & 0xfffn);
    const branch = BRANCHES.includes(opcode);
    const offset = branch ? branchOffset(low | high << 64n, target) : 0;
    const to = branch ? (at + offset) / INSTRUCTION_BYTES + 1 : null;
    code.push({ opcode, width: Number(high >> 9n & 7n), to });
  }
  while (code.at(-1)?.opcode === PADDING) code.pop();
  return code;
}

// Bytes from the next instruction: a signed number of 4-byte words from bit 34 on; from sm_90 on
// its lowest 8 bits are bits 16 to 23.
function branchOffset(word: bigint, target: number): number {
  const upper = Number(BigInt.asIntN(48, word >> 34n));
  return 4 * (target < 90 ? upper : upper * 256 + Number(word >> 16n & 0xffn));
}

function countsOf(code: readonly Instruction[]): CodeCounts {
  const count = (wanted: number) => code.filter(({ opcode }) => opcode === wanted).length;
  const loads = code.filter(({ opcode }) => opcode === OPCODES.globalLoads);
  return {
    instructions: code.length,
    globalLoads: loads.length,
    wideLoads: loads.filter(({ width }) => width === WIDE).length,
    genericLoads: count(OPCODES.genericLoads),
    globalStores: count(OPCODES.globalStores),
    sharedLoads: count(OPCODES.sharedLoads),
    products: count(OPCODES.products),
    halfProducts: count(OPCODES.halfProducts),
    shuffles: count(OPCODES.shuffles),
    barriers: count(OPCODES.barriers),
  };
}

// What control.cu's kernels must give.
const CONTROLS: Readonly<Record<string, Partial<CodeCounts>>> = {
  control_copy: { globalLoads: 1, wideLoads: 1, globalStores: 1, products: 0, barriers: 0 },
  control_bytes: { globalLoads: 1, wideLoads: 0, globalStores: 1 },
  control_product: { products: 3, globalLoads: 1, wideLoads: 1, globalStores: 1 },
  control_half_product: { halfProducts: 2, products: 0, globalLoads: 1, wideLoads: 1 },
  control_shared: { barriers: 2, sharedLoads: 1, globalLoads: 1, globalStores: 1 },
  control_generic: { genericLoads: 1, globalLoads: 0, globalStores: 1 },
  control_loop: { shuffles: 3, globalLoads: 1, globalStores: 1 },
};

/**
 * Confirms every opcode that is counted by the sections of control.cu.
 *
 * @throws {SpecacheError} device: a kernel is missing or has other counts
 */
export function confirmControls(sections: ReadonlyMap<string, Uint8Array>, target: number): void {
  for (const [name, wanted] of Object.entries(CONTROLS)) {
    const text = sections.get(`.text.${name}`);
    if (text === undefined) throw notConfirmed(name, target, "no such kernel");
    const counts = countCode(text, target);
    for (const [key, count] of Object.entries(wanted)) {
      const found = counts[key as keyof CodeCounts];
      if (found !== count) throw notConfirmed(name, target, `${found} ${key}, not ${count}`);
    }
  }
  const loops = findLoops(sections.get(".text.control_loop")!, target);
  const shuffles = loops.map((loop) => loop.shuffles).join(", ");
  if (shuffles !== "2") {
    throw notConfirmed("control_loop", target, `loops with shuffles: ${shuffles || "none"}, not 2`);
  }
}

function notConfirmed(name: string, target: number, what: string): SpecacheError {
  return new SpecacheError("device", `Cannot count code of sm_${target}: ${name} has ${what}`);
}
