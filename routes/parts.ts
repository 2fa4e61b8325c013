// parts.ts - what routes that take a body work with.
import type { Context } from "hono";
import { jsonOf } from "./body.ts";
import type { ServedEngine } from "./engine.ts";

/** What a route is given. */
export interface AnswerParts {
  readonly engine: ServedEngine;
  /** What requests call the model. */
  readonly name: string;
  readonly bodyBytesMax: number;
  /** Seconds within which a body must be there. */
  readonly bodySeconds: number;
  /** Aborted when the server closes. */
  readonly closing?: AbortSignal;
  readonly report: (error: unknown) => void;
}

/** The JSON object that a request carries. @throws {RequestError} as jsonOf */
export function bodyOf(
  c: Context,
  { bodyBytesMax, bodySeconds }: Pick<AnswerParts, "bodyBytesMax" | "bodySeconds">,
): ReturnType<typeof jsonOf> {
  return jsonOf(c.req.raw, bodyBytesMax, bodySeconds);
}
