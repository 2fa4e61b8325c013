// errors.ts - the one error class. A message is "Cannot <action>: <name> <value> <relation>
// <limit>"; the code says what kind of failure it is, details holds the numbers.

/** What kind of failure a {@linkcode SpecacheError} is; the HTTP status follows from it. */
export type ErrorCode =
  | "argument"
  | "capacity"
  | "handle"
  | "memory"
  | "device"
  | "file"
  | "data"
  | "cancelled"
  | "busy"
  | "unsupported"
  | "closed"
  | "internal";

/** Every error that specache throws on purpose. */
export class SpecacheError extends Error {
  /** What kind of failure it is. */
  readonly code: ErrorCode;
  /** The numbers and names of the message, as fields. */
  readonly details: Readonly<Record<string, unknown>>;

  /** Makes an error; `cause` is the error that led to it, `details` the numbers of its message. */
  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; details?: Record<string, unknown> } = {},
  ) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.name = "SpecacheError";
    this.code = code;
    this.details = Object.freeze({ ...options.details });
  }
}
