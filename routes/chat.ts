// chat.ts - /v1/chat/completions: a body is read, waits for its turn, and is answered whole or by
// server-sent events. A client that leaves ends what was begun for it.
import { Hono } from "hono";
import { ChatWriter } from "./chat_answer.ts";
import { callsOf, chatRequestOf, generateOf } from "./chat_request.ts";
import { groupOf } from "./choices.ts";
import { answerChoices } from "./choices_answer.ts";
import { tenantOf } from "./keys.ts";
import { only } from "./methods.ts";
import { checkModel } from "./models.ts";
import { type AnswerParts, bodyOf } from "./parts.ts";

/** POST: answers to a conversation. */
export function chatRoutes(parts: AnswerParts): Hono {
  const chat = new Hono();
  chat.post("/", async (c) => {
    const request = chatRequestOf(await bodyOf(c, parts));
    checkModel(parts.name, request.model);
    const options = { ...generateOf(request), ...tenantOf(c) };
    const topLogprobs = request.logprobs ? request.top_logprobs ?? 0 : null;
    const writer = new ChatWriter(parts, { seed: options.seed, topLogprobs });
    const groups = [groupOf(options, request.n ?? 1)];
    return await answerChoices(c, parts, {
      groups,
      writer,
      calls: callsOf(request, options),
      request,
    });
  });
  chat.all("/", only("POST"));
  return chat;
}
