// generate.ts - /v1/generate: our own API, options and results as TypeScript has them. It is what a
// front at the edge speaks to its hosts.
import { Hono } from "hono";
import { answerGeneration } from "./generate_answer.ts";
import { generateRequestOf } from "./generate_request.ts";
import { only } from "./methods.ts";
import { type AnswerParts, bodyOf } from "./parts.ts";

/** POST: generates from a prompt, ids or messages. */
export function generateRoutes(parts: AnswerParts): Hono {
  const generate = new Hono();
  generate.post("/", async (c) => {
    const request = generateRequestOf(await bodyOf(c, parts));
    return await answerGeneration(c, request, { ...parts, from: parts.engine });
  });
  generate.all("/", only("POST"));
  return generate;
}
