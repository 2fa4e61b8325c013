// generate_answer.ts - a generation as our own API tells it: whole, or by server-sent events:
//   {"started": true}, {"prefilled": {"tokens", "promptTokens"}}, {"piece": {...}}, with logprobs
//   {"piece": {...}, "texts": {"ID": "TEXT"}}, and at the end {"result": {...}} or
//   {"error": {...}}, always one of the two and always last.
import type { Context } from "hono";
import type { Piece } from "../engine/generation.ts";
import { begin, type Generates } from "./begin.ts";
import type { ServedEngine, ServedGeneration } from "./engine.ts";
import { eventStream } from "./event_stream.ts";
import type { GenerateRequest } from "./generate_request.ts";
import { tenantOf } from "./keys.ts";
import { leaving } from "./leaving.ts";

/** What a generation is answered with. */
export interface Answering {
  /** The engine, or a session of it. */
  readonly from: Generates;
  readonly engine: Pick<ServedEngine, "tokenText">;
  /** Aborted when the server closes. */
  readonly closing?: AbortSignal;
  readonly report: (error: unknown) => void;
  /** What else is told with the result. */
  more?(): object;
}

/** Generates, and answers; `left` is aborted when the client leaves. */
export async function answerGeneration(
  c: Context,
  { options, stream }: GenerateRequest,
  answering: Answering,
  left: AbortController = leaving(c.req.raw.signal),
): Promise<Response> {
  const { from, engine, closing } = answering;
  const telling = new Telling();
  const progress = stream ? { progress: telling.progress } : {};
  const asked = { ...options, ...progress, ...tenantOf(c), signal: left.signal };
  const run = await begin(from, asked, closing);
  if (stream) return streamed(c, { ...answering, run, left, telling });
  const pieces: object[] = [];
  for await (const piece of run) if (options.logprobs) pieces.push(told(piece, engine));
  const result = await run.result;
  return c.json({ result, ...answering.more?.(), ...options.logprobs ? { pieces } : {} });
}

// Passes on how far the prompt is read: kept until there is a stream, which then goes on by itself.
class Telling {
  tell: (event: object) => void = (event) => this.early.push(event);
  readonly early: object[] = [];
  readonly progress = (tokens: number, promptTokens: number): void =>
    this.tell({ prefilled: { tokens, promptTokens } });
}

interface Streaming extends Answering {
  readonly run: ServedGeneration;
  readonly left: AbortController;
  readonly telling: Telling;
}

function streamed(c: Context, { run, telling, ...parts }: Streaming): Response {
  return eventStream(c, parts, async (send) => {
    await send({ started: true });
    telling.tell = (event) => void send(event); // who reads slowly reads them later
    for (const event of telling.early.splice(0)) await send(event);
    for await (const piece of run) await send(told(piece, parts.engine));
    const result = await run.result;
    await send({ result, ...parts.more?.() });
  });
}

// With the texts of the tokens that it names, so that whoever has no tokenizer can tell them.
function told(piece: Piece, engine: Answering["engine"]): object {
  if (piece.logprobs === undefined) return { piece };
  const ids = [piece.id, ...piece.logprobs.map(([id]) => id)];
  return { piece, texts: Object.fromEntries(ids.map((id) => [id, engine.tokenText(id)])) };
}
