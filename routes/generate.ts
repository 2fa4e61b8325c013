// generate.ts - /v1/generate: our own API, options and results as TypeScript has them. It is what a
// front at the edge speaks to its hosts.
import { Hono } from "hono";
import { jsonOf } from "./body.ts";
import type { ServedEngine } from "./engine.ts";
import { answerGeneration } from "./generate_answer.ts";
import { generateRequestOf } from "./generate_request.ts";
import { only } from "./methods.ts";

/** What routes that take a body work with. */
export interface Parts {
  readonly engine: ServedEngine;
  /** Largest body in bytes, and the seconds within which it must be there. */
  readonly bodyBytesMax: number;
  readonly bodySeconds: number;
  /** Aborted when the server closes. */
  readonly closing?: AbortSignal;
  readonly report: (error: unknown) => void;
}

/** POST: generates from a prompt, ids or messages. */
export function generateRoutes(parts: Parts): Hono {
  const generate = new Hono();
  generate.post("/", async (c) => {
    const body = await jsonOf(c.req.raw, parts.bodyBytesMax, parts.bodySeconds);
    const request = generateRequestOf(body);
    return await answerGeneration(c, request, { ...parts, from: parts.engine });
  });
  generate.all("/", only("POST"));
  return generate;
}
