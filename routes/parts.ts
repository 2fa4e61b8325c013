// parts.ts - what the routes of OpenAI's API work with.
import type { ServedEngine } from "./engine.ts";

/** What a route is given. */
export interface AnswerParts {
  readonly engine: ServedEngine;
  /** What requests call the model. */
  readonly name: string;
  readonly bodyBytesMax: number;
  /** Aborted when the server closes. */
  readonly closing?: AbortSignal;
  readonly report: (error: unknown) => void;
}
