// event_stream.ts - an answer by server-sent events: its failure is one of them, for the status is
// sent already.
import type { Context } from "hono";
import { streamSSE } from "hono/streaming";
import { bodyOf, statusOf } from "./errors.ts";

/** Sends an event: a word as it is, an object as JSON; `name` is its own. */
export type Send = (data: object | string, name?: string) => Promise<void>;

/** What a stream needs beside its events. */
export interface StreamParts {
  /** Aborted when the client leaves. */
  readonly left: AbortController;
  readonly report: (error: unknown) => void;
}

/** Answers by what `write` sends; where it fails, `failed` makes the last event of the error. */
export function eventStream(
  c: Context,
  { left, report }: StreamParts,
  write: (send: Send) => Promise<void>,
  failed: (error: unknown, send: Send) => Promise<void> = (error, send) => send(bodyOf(error)),
): Response {
  return streamSSE(c, async (events) => {
    events.onAbort(() => left.abort());
    const send: Send = (data, event) =>
      events.writeSSE({ data: typeof data === "string" ? data : JSON.stringify(data), event });
    try {
      await write(send);
    } catch (error) {
      if (statusOf(error) === 500) report(error);
      await failed(error, send);
    }
  });
}
