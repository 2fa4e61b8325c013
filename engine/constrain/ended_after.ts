// ended_after.ts - work that is ended where it takes too long. A thread that ends another waits for
// its event loop in Deno, so that one whose work does not come back keeps a core for as long as the
// process lives: terminate() is no way to end it. Deno's `node:vm` ends work by a clock of its own,
// also within WebAssembly. In Bun it does not reach into WebAssembly, where terminate() does.
import { Script } from "node:vm";

const SLOT = "__specacheWork"; // of the global scope: all that a script sees
const scope = globalThis as { [SLOT]?: () => void };
const script = new Script(`${SLOT}()`);

/** That work was ended. */
export class TookTooLong extends Error {
  override readonly name = "TookTooLong";
}

/**
 * What `work` returns; promises that it makes go on beyond it.
 *
 * @throws {TookTooLong} it had not returned after `ms` milliseconds, and was ended
 */
export function endedAfter<T>(ms: number, work: () => T): T {
  let result: { readonly value: T } | undefined;
  scope[SLOT] = () => {
    result = { value: work() };
  };
  try {
    script.runInThisContext({ timeout: Math.max(1, Math.ceil(ms)) });
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw error;
    throw new TookTooLong(`had not returned after ${ms} ms`, { cause: error });
  } finally {
    delete scope[SLOT];
  }
  return result!.value;
}
