// errors.ts - every failure as OpenAI's clients know it: a status and
// {"error": {"message", "type", "param", "code"}}.
import { type ErrorCode, SpecacheError } from "../engine/errors.ts";

/** The body of an answer that is no success. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    /** `invalid_request_error`: the request's fault; `server_error`: ours. */
    readonly type: "invalid_request_error" | "server_error";
    /** The field at fault. */
    readonly param: string | null;
    readonly code: string;
  };
}

/** A request that HTTP itself refuses: no error of the engine fits. */
export class RequestError extends Error {
  /** HTTP status, what a program tells the error by, the field at fault, and headers. */
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly param: string | null = null,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.name = "RequestError";
  }
}

// A status from 500 on is ours, 503 one that passes. 499, nginx's, is read by nobody: the client
// has left.
const statuses: Record<ErrorCode, number> = {
  argument: 400,
  unsupported: 400,
  cancelled: 499,
  capacity: 503,
  busy: 503,
  closed: 503,
  handle: 500,
  memory: 500,
  device: 500,
  file: 500,
  data: 500,
  internal: 500,
};

/** The status of an error. */
export function statusOf(error: unknown): number {
  if (error instanceof RequestError) return error.status;
  if (!(error instanceof SpecacheError)) return 500;
  if (isTooLong(error)) return 400;
  return isFull(error) ? 429 : statuses[error.code];
}

// The request alone is above the context: no waiting helps.
function isTooLong({ code, details }: SpecacheError): boolean {
  return code === "capacity" && details.contextTokens !== undefined;
}

// As many wait as may.
function isFull({ code, details }: SpecacheError): boolean {
  return code === "busy" && details.waiting !== undefined;
}

/** The body of an error. What failed on our side may name files: that is not for clients. */
export function bodyOf(error: unknown): ErrorBody {
  const status = statusOf(error);
  const known = error instanceof RequestError || error instanceof SpecacheError;
  if (!known || status === 500) {
    const message = "Cannot answer: the engine failed, and the server's own output tells how";
    return { error: { message, type: "server_error", param: null, code: "internal" } };
  }
  const type = status < 500 ? "invalid_request_error" : "server_error";
  const name = error instanceof RequestError ? error.param : error.details.name;
  const param = typeof name === "string" ? name : null;
  const tooLong = error instanceof SpecacheError && isTooLong(error);
  const code = tooLong ? "context_length_exceeded" : error.code;
  return { error: { message: sentenceOf(error), type, param, code } };
}

// What the engine was asked to do is what the server was: to answer.
function sentenceOf(error: Error): string {
  return error.message.replace(/^Cannot generate: /, "Cannot answer: ");
}

/** The answer that tells an error. */
export function answerOf(error: unknown): Response {
  const status = statusOf(error);
  const headers: Record<string, string> = status === 503 || status === 429
    ? { "Retry-After": "1" }
    : {};
  if (error instanceof RequestError) Object.assign(headers, error.headers);
  return Response.json(bodyOf(error), { status, headers });
}
