// completions.ts - /v1/completions: prompts that go on, answered whole or by server-sent events. A
// client that leaves ends what was begun for it.
import { Hono } from "hono";
import { answerChoices } from "./choices_answer.ts";
import { CompletionWriter } from "./completions_answer.ts";
import { completionRequestOf, groupsOf } from "./completions_request.ts";
import { tenantOf } from "./keys.ts";
import { only } from "./methods.ts";
import { checkModel } from "./models.ts";
import { type AnswerParts, bodyOf } from "./parts.ts";

/** POST: answers to prompts. */
export function completionRoutes(parts: AnswerParts): Hono {
  const completions = new Hono();
  completions.post("/", async (c) => {
    const request = completionRequestOf(await bodyOf(c, parts));
    checkModel(parts.name, request.model);
    const groups = groupsOf(request, tenantOf(c));
    const writer = new CompletionWriter(parts, groups, request.logprobs ?? null);
    return await answerChoices(c, parts, { groups, writer, calls: null, request });
  });
  completions.all("/", only("POST"));
  return completions;
}
