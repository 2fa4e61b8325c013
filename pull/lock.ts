// lock.ts - one process at a time pulls or removes a model: a file with its id, which counts for
// as long as that process lives.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { SpecacheError } from "../engine/errors.ts";

/**
 * Locks a model's folder of what is being pulled, and makes it.
 *
 * @throws {SpecacheError} busy: another process holds it; file: it cannot be made
 */
export function lockPulling(folder: string, action: string): Disposable {
  const path = join(folder, "lock");
  try {
    mkdirSync(folder, { recursive: true });
    take(path, action);
  } catch (cause) {
    if (cause instanceof SpecacheError) throw cause;
    throw new SpecacheError("file", `Cannot ${action}: ${path}: ${(cause as Error).message}`, {
      cause,
      details: { path },
    });
  }
  return { [Symbol.dispose]: () => rmSync(path, { force: true }) };
}

function take(path: string, action: string): void {
  const write = () => writeFileSync(path, String(process.pid), { flag: "wx" });
  try {
    write();
  } catch (error) {
    if ((error as { code?: string }).code !== "EEXIST") throw error;
    const owner = Number(readFileSync(path, "utf8"));
    if (lives(owner)) {
      throw new SpecacheError("busy", `Cannot ${action}: process ${owner} is at it (${path})`, {
        details: { owner },
      });
    }
    rmSync(path, { force: true });
    write();
  }
}

function lives(owner: number): boolean {
  if (!Number.isInteger(owner) || owner < 1) return false; // nobody finished writing it
  try {
    process.kill(owner, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
}
