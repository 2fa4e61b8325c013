// ptxas.ts - what ptxas -v says of each kernel.
import { SpecacheError } from "../../engine/errors.ts";

/** What a thread or block of a kernel takes. */
export interface Resources {
  /** As the object file names it. */
  readonly symbol: string;
  readonly registers: number;
  /** Local memory of a thread: indexed arrays, calls, spills. */
  readonly stackBytes: number;
  /** Registers written to local memory and read again. */
  readonly spillBytes: number;
  /** Static; what a launch adds is not in it. */
  readonly sharedBytes: number;
  readonly barriers: number;
}

/**
 * The kernels of one output of nvcc -Xptxas -v for one target. A function that kernels call has
 * lines of its own; its spills count for the kernel before it, which ptxas compiles it with.
 *
 * @throws {SpecacheError} device: a kernel without its line of registers
 */
export function parsePtxas(output: string): Resources[] {
  const parts = output.split(/^ptxas info\s*: Compiling entry function '/m).slice(1);
  return parts.map((part) => {
    const symbol = part.slice(0, part.indexOf("'"));
    const used = part.match(/^ptxas info\s*: Used (\d+) registers(.*)$/m);
    if (used === null) {
      throw new SpecacheError("device", `Cannot read what ptxas says of ${symbol}: no registers`);
    }
    const [, registers, rest] = used;
    const spills = [...part.matchAll(/(\d+) bytes spill (?:stores|loads)/g)];
    const frame = part.match(/(\d+) bytes stack frame/)?.[1];
    const stack = rest.match(/(\d+) bytes cumulative stack size/)?.[1] ?? frame;
    return {
      symbol,
      registers: Number(registers),
      stackBytes: Number(stack ?? 0),
      spillBytes: spills.reduce((sum, [, bytes]) => sum + Number(bytes), 0),
      sharedBytes: Number(rest.match(/(\d+) bytes smem/)?.[1] ?? 0),
      barriers: Number(rest.match(/used (\d+) barriers/)?.[1] ?? 0),
    };
  });
}

/**
 * The name that the source gives a kernel: the last one of its scopes, with the number of an
 * enumeration that it is a template of, as in "project_row<2>", and an unsigned number behind it.
 */
export function kernelName(symbol: string): string {
  let at = symbol.startsWith("_ZN") ? 3 : symbol.startsWith("_Z") ? 2 : -1;
  if (at < 0) return symbol;
  let name = symbol;
  for (;;) {
    const digits = symbol.slice(at).match(/^\d+/)?.[0];
    if (digits === undefined) break;
    const from = at + digits.length;
    at = from + Number(digits);
    name = symbol.slice(from, at);
  }
  const [, ...numbers] = symbol.slice(at).match(/^IL.*?E(\d+)E(?:Lj(\d+)E)?E/) ?? [];
  const given = numbers.filter((number) => number !== undefined);
  return given.length === 0 ? name : `${name}<${given.join(", ")}>`;
}
