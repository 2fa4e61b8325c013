// retry.ts - calls that may fail for a while: how often they are made again, and after what wait.
import { SpecacheError } from "../engine/errors.ts";

/** How long a hub is waited for. */
export interface Patience {
  /** Tries in a row that bring nothing new. */
  readonly tries: number;
  /** Before the second try, milliseconds; twice as long before each further one. */
  readonly waitMs: number;
  /** Without a byte, milliseconds. */
  readonly idleMs: number;
}

/** For people's networks. */
export const PATIENCE: Patience = { tries: 6, waitMs: 500, idleMs: 30_000 };

/** A fault that may be gone at the next try. */
export class TransientError extends Error {
  /** What the hub asks to be waited, milliseconds. */
  readonly waitMs: number;

  /** Makes one. */
  constructor(message: string, waitMs = 0, cause?: unknown) {
    super(message, { cause });
    this.waitMs = waitMs;
  }
}

/** Calls until it succeeds, fails for good, or fails too often. */
export async function retried<Result>(
  { tries, waitMs }: Patience,
  call: () => Promise<Result>,
  progressed: () => boolean = () => false,
): Promise<Result> {
  for (let failures = 0;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof TransientError)) throw error;
      failures = progressed() ? 1 : failures + 1;
      if (failures >= tries) {
        const sentence = `Cannot pull: ${error.message} (${failures} tries)`;
        throw new SpecacheError("file", sentence, { cause: error });
      }
      const pause = Math.max(waitMs * 2 ** (failures - 1), error.waitMs);
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}
