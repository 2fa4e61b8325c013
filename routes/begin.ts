// begin.ts - a generation starts when its turn has come: who waits is told when the server closes.
import type { GenerateOptions } from "../engine/config_generate.ts";
import { SpecacheError } from "../engine/errors.ts";
import type { ServedGeneration } from "./engine.ts";

/** What generates: an engine, or a session of one. */
export interface Generates {
  /** As ServedEngine has it. */
  generate(options: GenerateOptions): ServedGeneration;
}

/**
 * A generation that runs: its turn has come. Where `closing` is aborted before, it is given up;
 * what runs goes on.
 *
 * @throws {SpecacheError} closed; cancelled: the client has left; else what the engine refuses
 */
export async function begin(
  engine: Generates,
  options: GenerateOptions & { readonly signal: AbortSignal },
  closing?: AbortSignal,
): Promise<ServedGeneration> {
  if (closing?.aborted) throw closed();
  const giveUp = new AbortController();
  const end = () => giveUp.abort();
  const { signal } = options;
  if (signal.aborted) end();
  signal.addEventListener("abort", end, { once: true });
  closing?.addEventListener("abort", end, { once: true });
  try {
    const run = engine.generate({ ...options, signal: giveUp.signal });
    if (await run.started && !giveUp.signal.aborted) return run;
    await run.result.catch(() => {}); // given up just when its turn had come, it may have begun
    throw closing?.aborted
      ? closed()
      : new SpecacheError("cancelled", "Cannot answer: the client has left");
  } finally {
    closing?.removeEventListener("abort", end);
  }
}

function closed(): SpecacheError {
  return new SpecacheError("closed", "Cannot answer: the server is closing");
}
