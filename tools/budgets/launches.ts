// launches.ts - the threads of a kernel's blocks and whether it is launched with dynamic shared
// memory, read from its launch `name<<<grid, threads, bytes, stream>>>` in the sources.

/** How a kernel is launched. */
export interface Launch {
  readonly threads: number;
  /** Whether the launch gives shared memory beyond the kernel's own. */
  readonly dynamicShared: boolean;
}

const LAUNCH = /\b(\w+)(?:<[^<>]*>)?<<<([\s\S]*?)>>>/g;
const CONSTANTS = /\bconstexpr\s+(?:static\s+)?\w+\s+(\w+\s*=\s*\d+\s*(?:,\s*\w+\s*=\s*\d+\s*)*);/g;

/** The launches of one source by the kernel's name. Threads that are no number are left out. */
export function readLaunches(source: string, headers: readonly string[]): Map<string, Launch> {
  const constants = new Map<string, number>();
  for (const text of [...headers, source]) {
    for (const [, list] of text.matchAll(CONSTANTS)) {
      for (const [, name, value] of list.matchAll(/(\w+)\s*=\s*(\d+)/g)) {
        constants.set(name, Number(value));
      }
    }
  }
  const launches = new Map<string, Launch>();
  for (const [, name, list] of source.matchAll(LAUNCH)) {
    const [, threads, shared] = splitArguments(list);
    const count = constants.get(threads) ?? Number(threads);
    if (!Number.isInteger(count)) continue;
    launches.set(name, { threads: count, dynamicShared: (shared ?? "0") !== "0" });
  }
  return launches;
}

function splitArguments(list: string): string[] {
  const parts: string[] = [""];
  let depth = 0;
  for (const character of list) {
    if ("([{".includes(character)) depth++;
    if (")]}".includes(character)) depth--;
    if (character === "," && depth === 0) parts.push("");
    else parts[parts.length - 1] += character;
  }
  return parts.map((part) => part.trim());
}
