// host_error.ts - a host did not take a request, so another one may be asked.
import { RequestError } from "../routes/errors.ts";

/** A host is gone, closing, or full. Its sentence is for who runs the hosts, not for clients. */
export class HostError extends Error {
  /** What the host answered, where it did. */
  readonly refusal: RequestError | null;
  /** Whether it had begun to answer. */
  readonly begun: boolean;

  /** Makes an error. */
  constructor(message: string, options: HostErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.name = "HostError";
    this.refusal = options.refusal ?? null;
    this.begun = options.begun ?? false;
  }
}

/** What else is known of a failure. */
export interface HostErrorOptions {
  readonly cause?: unknown;
  readonly refusal?: RequestError;
  readonly begun?: boolean;
}

/** What a client is told of a host that failed where no other one can go on. */
export function toldOf(cause: HostError): RequestError {
  if (cause.refusal !== null) return cause.refusal;
  if (cause.begun) return gone(cause);
  const sentence = "Cannot answer: the host that holds it cannot be reached";
  return Object.assign(new RequestError(503, "host_gone", sentence), { cause });
}

/** What a client is told who has read the beginning of an answer. */
export function gone(cause: unknown): RequestError {
  const sentence = "Cannot go on: the host that was answering is gone";
  return Object.assign(new RequestError(502, "host_gone", sentence), { cause });
}
