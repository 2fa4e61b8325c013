// host_error.ts - a host did not take a request, so another one may be asked.
import type { RequestError } from "../routes/errors.ts";

/** A host is gone, closing, or full. Its sentence is for who runs the hosts, not for clients. */
export class HostError extends Error {
  /** What the host answered, where it did. */
  readonly refusal: RequestError | null;

  /** Makes an error. */
  constructor(message: string, options: { cause?: unknown; refusal?: RequestError } = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.name = "HostError";
    this.refusal = options.refusal ?? null;
  }
}
