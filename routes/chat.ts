// chat.ts - /v1/chat/completions: a body is read, waits for its turn, and is answered whole or by
// server-sent events. A client that leaves ends the generation.
import { type Context, Hono } from "hono";
import { streamSSE } from "hono/streaming";
import type { GenerateOptions } from "../engine/config_generate.ts";
import type { Piece } from "../engine/generation.ts";
import { begin } from "./begin.ts";
import { jsonOf } from "./body.ts";
import { ChatWriter } from "./chat_answer.ts";
import { type ChatRequest, chatRequestOf, messagesOf, samplingOf } from "./chat_request.ts";
import type { ServedEngine, ServedGeneration } from "./engine.ts";
import { bodyOf, statusOf } from "./errors.ts";
import { tenantOf } from "./keys.ts";
import { leaving } from "./leaving.ts";
import { only } from "./methods.ts";
import { checkModel } from "./models.ts";

/** What the route works with. */
export interface ChatParts {
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

/** POST: an answer to a conversation. */
export function chatRoutes(parts: ChatParts): Hono {
  const chat = new Hono();
  chat.post("/", async (c) => {
    const request = chatRequestOf(await jsonOf(c.req.raw, parts.bodyBytesMax, parts.bodySeconds));
    checkModel(parts.name, request.model);
    const options = { ...samplingOf(request), ...promptOf(request), ...tenantOf(c) };
    const left = leaving(c.req.raw.signal);
    const run = await begin(parts.engine, { ...options, signal: left.signal }, parts.closing);
    const topLogprobs = request.logprobs ? request.top_logprobs ?? 0 : null;
    const writer = new ChatWriter(parts, { seed: options.seed!, topLogprobs });
    if (!request.stream) return c.json(await whole(run, writer));
    const usage = request.stream_options?.include_usage ?? false;
    return stream(c, { ...parts, run, writer, usage, left });
  });
  chat.all("/", only("POST"));
  return chat;
}

// The conversation, and how many tokens may follow: what the request asks for, or all that fit.
function promptOf(request: ChatRequest): Pick<GenerateOptions, "messages" | "maxTokens"> {
  const maxTokens = request.max_completion_tokens ?? request.max_tokens ?? "rest";
  return { messages: messagesOf(request), maxTokens };
}

async function whole(run: ServedGeneration, writer: ChatWriter): Promise<object> {
  const pieces: Piece[] = [];
  for await (const piece of run) pieces.push(piece);
  return writer.whole(await run.result, pieces);
}

interface Streaming extends ChatParts {
  readonly run: ServedGeneration;
  readonly writer: ChatWriter;
  /** Whether the last chunk tells the usage. */
  readonly usage: boolean;
  /** Aborted when the client leaves. */
  readonly left: AbortController;
}

function stream(c: Context, { run, writer, usage, left, report }: Streaming): Response {
  return streamSSE(c, async (events) => {
    events.onAbort(() => left.abort());
    const send = (chunk: object) => events.writeSSE({ data: JSON.stringify(chunk) });
    try {
      await send(writer.begin());
      let sent = 0; // code units of the text
      let quiet: Piece[] = []; // tokens whose text is still to come
      for await (const piece of run) {
        quiet.push(piece);
        if (piece.text === "") continue;
        await send(writer.text(piece.text, quiet));
        sent += piece.text.length;
        quiet = [];
      }
      const result = await run.result;
      const rest = result.text.slice(sent); // of a character that was never finished
      if (rest !== "" || quiet.length > 0) await send(writer.text(rest, quiet));
      await send(writer.end(result));
      if (usage) await send(writer.usage(result));
      await events.writeSSE({ data: "[DONE]" });
    } catch (error) {
      if (statusOf(error) === 500) report(error);
      await send(bodyOf(error)); // the status is sent already
    }
  });
}
