// lock.ts - one at a time in a folder, among all threads, processes and containers that share it:
// a file that its owner touches while it lives. Ids of processes would not do, since two containers
// may give the same one.
import { mkdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { SpecacheError } from "../engine/errors.ts";
import { refusedAs } from "../engine/system.ts";

const POLL_MS = 100; // how often a waiting one looks
const BEAT_MS = 1_000; // how often an owner touches its file
/** An owner that has not touched its file for so long has ended without removing it. */
export const STALE_MS = 10_000;

/** Name of the file in the folder. */
export const LOCK = "lock";

/**
 * Makes `folder`, and waits until nobody else has it; `waiting` is told once, if it has to, and may
 * throw instead. Two may have it at once where an owner was stopped for longer than STALE_MS.
 *
 * @throws {SpecacheError} file: the folder cannot be made or written
 */
export async function lockFolder(
  folder: string,
  action: string,
  waiting: () => void,
): Promise<Disposable> {
  const path = join(folder, LOCK);
  try {
    for (let told = false; !take(folder, path); told = true) {
      if (!told) waiting();
      await setTimeout(POLL_MS);
    }
  } catch (cause) {
    if (cause instanceof SpecacheError) throw cause;
    throw new SpecacheError("file", `Cannot ${action}: ${path} ${refusedAs(cause, "written")}`, {
      cause,
      details: { path },
    });
  }
  const beat = setInterval(() => touch(path), BEAT_MS);
  return {
    [Symbol.dispose]() {
      clearInterval(beat);
      rmSync(path, { force: true });
    },
  };
}

function take(folder: string, path: string): boolean {
  mkdirSync(folder, { recursive: true });
  try {
    writeFileSync(path, "", { flag: "wx" });
    return true;
  } catch (error) {
    const { code = "" } = error as { code?: string };
    if (code === "ENOENT") return false; // an owner before has just removed the folder
    if (code !== "EEXIST") throw error;
  }
  const touched = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  if (touched !== undefined && Date.now() - touched > STALE_MS) rmSync(path, { force: true });
  return false;
}

function touch(path: string): void {
  const now = new Date();
  try {
    utimesSync(path, now, now);
  } catch {
    // Somebody removed the file: there is nothing to hold on to.
  }
}
