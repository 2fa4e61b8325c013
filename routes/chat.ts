// chat.ts - /v1/chat/completions: a body is read, waits for its turn, and is answered whole or by
// server-sent events. A client that leaves ends the generation, and gives its place back.
import { type Context, Hono } from "hono";
import { streamSSE } from "hono/streaming";
import type { GenerateOptions } from "../engine/config_generate.ts";
import { SpecacheError } from "../engine/errors.ts";
import type { Piece } from "../engine/generation.ts";
import { jsonOf } from "./body.ts";
import { ChatWriter } from "./chat_answer.ts";
import { type ChatRequest, chatRequestOf, messagesOf, samplingOf } from "./chat_request.ts";
import type { ServedEngine, ServedGeneration } from "./engine.ts";
import { bodyOf, RequestError, statusOf } from "./errors.ts";
import { only } from "./methods.ts";
import { checkModel } from "./models.ts";
import type { Queue } from "./queue.ts";

/** What the route works with. */
export interface ChatParts {
  readonly engine: ServedEngine;
  /** What requests call the model. */
  readonly name: string;
  readonly queue: Queue;
  readonly bodyBytesMax: number;
  readonly report: (error: unknown) => void;
}

/** POST: an answer to a conversation. */
export function chatRoutes(parts: ChatParts): Hono {
  const chat = new Hono();
  chat.post("/", async (c) => {
    const request = chatRequestOf(await jsonOf(c.req.raw, parts.bodyBytesMax));
    checkModel(parts.name, request.model);
    const options = { ...samplingOf(request), ...promptOf(parts.engine, request) };
    const left = leaving(c.req.raw.signal);
    const run = await begin(parts, { ...options, signal: left.signal });
    const topLogprobs = request.logprobs ? request.top_logprobs ?? 0 : null;
    const writer = new ChatWriter(parts, { seed: options.seed!, topLogprobs });
    if (!request.stream) return c.json(await whole(run, writer));
    const usage = request.stream_options?.include_usage ?? false;
    return stream(c, { ...parts, run, writer, usage, left });
  });
  chat.all("/", only("POST"));
  return chat;
}

// Aborted with the request. Not AbortSignal.any, whose listeners Deno could forget
// (denoland/deno#29075).
function leaving(signal: AbortSignal): AbortController {
  const left = new AbortController();
  if (signal.aborted) left.abort();
  signal.addEventListener("abort", () => left.abort(), { once: true });
  return left;
}

// The prompt's ids, and how many tokens may follow: what the request asks for, or all that fit.
function promptOf(
  engine: ServedEngine,
  request: ChatRequest,
): Pick<GenerateOptions, "ids" | "maxTokens"> {
  const { contextTokens, model, tokenizer } = engine;
  if (tokenizer === null) {
    throw new SpecacheError("unsupported", `Cannot answer: model ${model.name} has no tokenizer`);
  }
  // A template writes bos itself, where its model wants one.
  const ids = tokenizer.encode(engine.conversation(messagesOf(request)), false);
  const asked = request.max_completion_tokens ?? request.max_tokens;
  const room = contextTokens - ids.length;
  if (room >= (asked ?? 1)) return { ids, maxTokens: asked ?? room };
  const answer = asked ? ` and ${asked} of the answer` : "";
  throw new RequestError(
    400,
    "context_length_exceeded",
    `Cannot answer: ${ids.length} tokens of the messages${answer} are above the server's ` +
      `${contextTokens}`,
    "messages",
  );
}

// Waits for a place, which is given back when the generation has ended: a client that reads
// slowly, or not at all, holds nobody up.
async function begin(
  { engine, queue }: ChatParts,
  options: GenerateOptions & { readonly signal: AbortSignal },
): Promise<ServedGeneration> {
  const leave = await queue.take(options.signal);
  try {
    const run = engine.generate(options);
    run.result.then(leave, leave);
    return run;
  } catch (error) {
    leave();
    throw error;
  }
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
