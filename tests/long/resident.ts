// resident.ts - the memory of this process, without what its runtime gives back on its own.
import { readFileSync } from "node:fs";

/** Bytes that are resident. */
export function residentBytes(): number {
  const pages = Number(readFileSync("/proc/self/statm", "utf8").split(" ")[1]);
  return pages * 4096;
}

interface BunMemory {
  gc(synchronous: boolean): void;
  /** Drops the machine code that was made of JavaScript, too. */
  shrink(): void;
}

/**
 * Gives back what a runtime gives back later: garbage; in Bun machine code too, which grows for as
 * long as functions get warm.
 */
export function tidy(): void {
  const { gc, Bun } = globalThis as { gc?: () => void; Bun?: BunMemory };
  gc?.();
  Bun?.gc(true);
  Bun?.shrink();
}
