// measure.ts - one line of the table for each kernel and target, from what was compiled.
import { SpecacheError } from "../../engine/errors.ts";
import { type Compiled, controlSource, kernelTexts } from "./compile.ts";
import { elfSections } from "./elf.ts";
import { type Launch, readLaunches } from "./launches.ts";
import { limitsOf } from "./limits.ts";
import { occupancy } from "./occupancy.ts";
import { kernelName, parsePtxas } from "./ptxas.ts";
import { type CodeCounts, confirmControls, countCode, findLoops, type Loop } from "./sass.ts";

/** What a kernel takes on a target. */
export interface Measured {
  readonly source: string;
  readonly kernel: string;
  readonly target: number;
  readonly threads: number;
  readonly registers: number;
  readonly spillBytes: number;
  readonly stackBytes: number;
  /** Static and dynamic. */
  readonly sharedBytes: number;
  readonly barriers: number;
  readonly code: CodeCounts;
  /** Resident on a multiprocessor, their share of the most, and what binds. */
  readonly warps: number;
  readonly warpShare: number;
  readonly limitedBy: string;
  readonly loops: readonly Loop[];
}

const THREADS = 128; // block_threads of cuda/stream.h, where no launch is found

/**
 * The kernels of what was compiled, in its order, once control.cu confirmed the opcodes.
 *
 * @throws {SpecacheError} device: an opcode is not confirmed, or a kernel has no code
 */
export function measure(compiled: readonly Compiled[]): Measured[] {
  const { sources, headers } = kernelTexts();
  const found: Measured[] = [];
  for (const each of compiled) {
    const sections = elfSections(each.cubin);
    if (controlSource.endsWith(each.source)) {
      confirmControls(sections, each.target);
      continue;
    }
    const launches = readLaunches(sources.get(each.source) ?? "", headers);
    found.push(...kernelsOf(each, sections, launches));
  }
  return found;
}

function kernelsOf(
  { source, target, log }: Compiled,
  sections: ReadonlyMap<string, Uint8Array>,
  launches: ReadonlyMap<string, Launch>,
): Measured[] {
  const kernels = parsePtxas(log).map((resources) => {
    const { symbol, registers, spillBytes, stackBytes, barriers } = resources;
    const text = sections.get(`.text.${symbol}`);
    if (text === undefined) {
      throw new SpecacheError("device", `Cannot find the code of ${symbol} in ${source}'s cubin`);
    }
    const kernel = kernelName(symbol);
    const launch = launches.get(kernel.replace(/<.*/, ""));
    const threads = launch?.threads ?? THREADS;
    const dynamic = limitsOf(kernel).dynamicSharedBytes;
    if (launch?.dynamicShared && dynamic === 0) {
      throw new SpecacheError(
        "device",
        `Cannot count shared memory of ${kernel}: say its dynamic bytes in tools/budgets/limits.ts`,
      );
    }
    const sharedBytes = resources.sharedBytes + dynamic;
    const fits = occupancy({ registers, sharedBytes, threads }, target);
    return {
      ...{ source, kernel, target, threads, registers, spillBytes, stackBytes, sharedBytes },
      barriers,
      code: countCode(text, target),
      ...{ warps: fits.warps, warpShare: fits.share, limitedBy: fits.limitedBy },
      loops: findLoops(text, target),
    };
  });
  return kernels.sort((a, b) => a.kernel < b.kernel ? -1 : 1);
}
