// event_stream.ts - an answer by server-sent events: its failure is one of them, for the status is
// sent already. Written to the stream itself: hono's streamSSE takes 100 us of a core for each
// event, which a token's step waits for where all cores compute.
import type { Context } from "hono";
import { bodyOf, statusOf } from "./errors.ts";

/** Sends an event: a word as it is, an object as JSON; `name` is its own. */
export type Send = (data: object | string, name?: string) => Promise<void>;

/** What a stream needs beside its events. */
export interface StreamParts {
  /** Aborted when the client leaves. */
  readonly left: AbortController;
  readonly report: (error: unknown) => void;
}

const HEADERS = {
  "Content-Type": "text/event-stream",
  "Cache-Control": "no-cache",
  Connection: "keep-alive",
};

const EVENTS_AHEAD = 16; // events that wait for the client
const encoder = new TextEncoder();

/** Answers by what `write` sends; where it fails, `failed` makes the last event of the error. */
export function eventStream(
  c: Context,
  { left, report }: StreamParts,
  write: (send: Send) => Promise<void>,
  failed: (error: unknown, send: Send) => Promise<void> = (error, send) => send(bodyOf(error)),
): Response {
  let over = false;
  let wanted = Promise.withResolvers<void>(); // that the client has read what was sent
  let isRead = true;
  const read = () => {
    isRead = true;
    wanted.resolve();
  };
  const leave = () => {
    over = true;
    read();
    left.abort();
  };
  const written = async (send: Send) => {
    try {
      await write(send);
    } catch (error) {
      if (statusOf(error) === 500) report(error);
      await failed(error, send);
    }
  };
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const send: Send = async (data, name) => {
        if (over) return;
        const text = typeof data === "string" ? data : JSON.stringify(data);
        const event = name === undefined ? "" : `event: ${name}\n`;
        controller.enqueue(encoder.encode(`${event}data: ${text}\n\n`));
        if ((controller.desiredSize ?? 0) > 0) return;
        if (isRead) wanted = Promise.withResolvers(); // else somebody waits for it already
        isRead = false;
        await wanted.promise;
      };
      written(send).finally(() => {
        if (!over) controller.close();
        over = true;
      });
    },
    pull: read,
    cancel: leave,
  }, { highWaterMark: EVENTS_AHEAD });
  return c.body(body, 200, HEADERS);
}
