// lock.ts - one at a time pulls or removes a model: a lock in the folder of what is being pulled.
import { readdirSync, rmdirSync } from "node:fs";
import { lockFolder } from "../ffi/lock.ts";

/**
 * Locks a model's folder of what is being pulled, and makes it; `waiting` is told where another
 * has it, and may throw instead. At the end an empty folder goes.
 *
 * @throws {SpecacheError} file: it cannot be made
 */
export async function lockPulling(
  folder: string,
  action: string,
  waiting: () => void,
): Promise<Disposable> {
  const lock = await lockFolder(folder, action, waiting);
  return {
    [Symbol.dispose]() {
      lock[Symbol.dispose]();
      try {
        if (readdirSync(folder).length === 0) rmdirSync(folder);
      } catch {
        // Somebody who waited has it now.
      }
    },
  };
}
