// responses.ts - /v1/responses: an answer in text, whole or by server-sent events. No answer is
// kept: a request brings its whole conversation. A client that leaves ends what was begun for it.
import { Hono } from "hono";
import { callsOf } from "./chat_request.ts";
import { Choice } from "./choice.ts";
import { Choices, groupOf } from "./choices.ts";
import { eventStream } from "./event_stream.ts";
import { tenantOf } from "./keys.ts";
import { leaving } from "./leaving.ts";
import { only } from "./methods.ts";
import { checkModel } from "./models.ts";
import { type AnswerParts, bodyOf } from "./parts.ts";
import { type ResponseEvent, ResponseWriter } from "./responses_answer.ts";
import { generateOf, responseRequestOf } from "./responses_request.ts";

/** POST: an answer. */
export function responseRoutes(parts: AnswerParts): Hono {
  const responses = new Hono();
  responses.post("/", async (c) => {
    const request = responseRequestOf(await bodyOf(c, parts));
    checkModel(parts.name, request.model);
    const options = { ...generateOf(request), ...tenantOf(c) };
    const left = leaving(c.req.raw.signal);
    const choices = await Choices.begin({ ...parts, left }, [groupOf(options, 1)]);
    const writer = new ResponseWriter(parts, request, options);
    const choice = new Choice(callsOf(request, options));
    const events = eventsOf(choices, choice, writer);
    if (!request.stream) return c.json(await lastOf(events));
    return eventStream(c, { ...parts, left }, async (send) => {
      for await (const event of events) await send(event, event.type);
    }, async (error, send) => {
      for (const event of writer.failed(error)) await send(event, event.type);
    });
  });
  responses.all("/", only("POST"));
  return responses;
}

async function* eventsOf(
  choices: Choices,
  choice: Choice,
  writer: ResponseWriter,
): AsyncGenerator<ResponseEvent> {
  yield* writer.begin();
  for await (const event of choices.events()) {
    const part = "piece" in event ? choice.push(event.piece) : choice.end(event.result);
    if (part !== null) yield* writer.part(part);
    if ("result" in event) yield* writer.end(choice, event.result);
  }
}

// The whole answer is what the last event carries.
async function lastOf(events: AsyncIterable<ResponseEvent>): Promise<object> {
  let last: ResponseEvent | null = null;
  for await (const event of events) last = event;
  return last!.response as object;
}
