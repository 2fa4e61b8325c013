// choices_answer.ts - the answers to a request, told whole or by server-sent events.
import type { Context } from "hono";
import type { GenerateResult } from "../engine/generation.ts";
import { type CallsAsked, Choice, type Part } from "./choice.ts";
import { Choices, type Group } from "./choices.ts";
import { eventStream } from "./event_stream.ts";
import type { StreamFields } from "./fields.ts";
import { leaving } from "./leaving.ts";
import type { AnswerParts } from "./parts.ts";

/** An answer that has ended, with all its parts. */
export interface Ended {
  readonly choice: Choice;
  readonly parts: readonly Part[];
  readonly result: GenerateResult;
}

/** Writes answers as clients read them; `index` counts them through. */
export interface Writer {
  /** All answers. */
  whole(ended: readonly Ended[]): object;
  /** The chunk before an answer's first token, where there is one. */
  begin?(index: number): object;
  /** A chunk of an answer. */
  part(index: number, part: Part): object;
  /** The chunk that tells why an answer ended. */
  end(index: number, choice: Choice, result: GenerateResult): object;
  /** The last chunk, where the request asked for the usage. */
  usage(results: readonly GenerateResult[]): object;
}

/** What is asked, and who writes it. */
export interface Answering {
  readonly groups: readonly Group[];
  readonly writer: Writer;
  /** null: no calls are looked for. */
  readonly calls: CallsAsked | null;
  readonly request: StreamFields;
}

/** Generates, and answers. */
export async function answerChoices(
  c: Context,
  parts: AnswerParts,
  { groups, writer, calls, request }: Answering,
): Promise<Response> {
  const left = leaving(c.req.raw.signal);
  const choices = await Choices.begin({ ...parts, left }, groups);
  const readers = groups.flat().map(() => new Choice(calls));
  if (!request.stream) return c.json(writer.whole(await ended(choices, readers)));
  return eventStream(c, { ...parts, left }, async (send) => {
    if (writer.begin) { for (const index of readers.keys()) await send(writer.begin(index)); }
    const results: GenerateResult[] = [];
    for await (const event of choices.events()) {
      const { index } = event;
      const reader = readers[index];
      const part = "piece" in event ? reader.push(event.piece) : reader.end(event.result);
      if (part !== null) await send(writer.part(index, part));
      if ("piece" in event) continue;
      results[index] = event.result;
      await send(writer.end(index, reader, event.result));
    }
    if (request.stream_options?.include_usage) await send(writer.usage(results));
    await send("[DONE]");
  });
}

/** All answers at their end. */
export async function ended(choices: Choices, readers: readonly Choice[]): Promise<Ended[]> {
  const answers = readers.map((choice) => ({
    choice,
    parts: [] as Part[],
    result: null as GenerateResult | null,
  }));
  for await (const event of choices.events()) {
    const answer = answers[event.index];
    const part = "piece" in event
      ? answer.choice.push(event.piece)
      : answer.choice.end(answer.result = event.result);
    if (part !== null) answer.parts.push(part);
  }
  return answers as Ended[];
}
