// events.ts - /v1/events: what the engine does, as it does it, by server-sent events. An event is
// made when the one before it has been taken, so a slow reader gets fewer and holds nobody up.
import { type Context, Hono } from "hono";
import { z } from "zod";
import type { Observation, ObservedReads } from "../engine/observation.ts";
import { parse } from "../engine/parse.ts";
import type { ServedEngine } from "./engine.ts";
import { RequestError } from "./errors.ts";
import { eventStream, type Send } from "./event_stream.ts";
import { leaving } from "./leaving.ts";
import { only } from "./methods.ts";
import { ownerOf } from "./owner.ts";
import { queryOf } from "./query.ts";

const EVENT_MS = 250; // four events a second
const QUIET_MS = 1000; // between events where nothing goes on
const TEXT_MS = 30; // while more of a text is to come
const STREAMS_MAX = 16;
const ACTION = "watch the engine";

/** What the route works with. */
export interface EventParts {
  readonly engine: ServedEngine;
  /** What requests call the model. */
  readonly name: string;
  /** Aborted when the server closes. */
  readonly closing?: AbortSignal;
  readonly report: (error: unknown) => void;
}

interface EventQuery {
  /** Ticket of the request whose text is watched; left out: the newest. */
  readonly watch?: number;
  /** The list whose most read tokens are told; left out: all lists. */
  readonly list?: number;
}

const count = z.string().regex(/^\d{1,15}$/, { error: "is not a whole number" }).transform(Number);

const eventQuery: z.ZodType<EventQuery> = z.strictObject({
  watch: count.optional(),
  list: count.optional(),
});

/** GET: events until the client leaves. */
export function eventRoutes(parts: EventParts): Hono {
  const events = new Hono();
  let streams = 0;
  events.get("/", (c) => {
    const query = parse(eventQuery, queryOf(c.req.raw, ACTION), ACTION);
    // Who asks for the head alone never reads a stream, so none is opened: it would have no end.
    if (c.req.raw.method === "HEAD") {
      return c.body(null, 200, { "Content-Type": "text/event-stream" });
    }
    if (streams >= STREAMS_MAX) {
      const sentence = `Cannot ${ACTION}: ${streams} streams of events are open, the most are ` +
        STREAMS_MAX;
      throw new RequestError(429, "busy", sentence, null, { "Retry-After": "1" });
    }
    streams++;
    return stream(c, parts, query, () => streams--);
  });
  events.all("/", only("GET"));
  return events;
}

function stream(c: Context, parts: EventParts, query: EventQuery, end: () => void): Response {
  const { closing, report } = parts;
  const left = leaving(c.req.raw.signal);
  const over = new AbortController(); // the client has left, or the server closes
  const stop = () => over.abort();
  left.signal.addEventListener("abort", stop, { once: true });
  closing?.addEventListener("abort", stop, { once: true });
  if (left.signal.aborted || closing?.aborted) stop();
  return eventStream(c, { left, report }, async (send) => {
    try {
      // Who does not read is left behind where it stands.
      const all = events(parts, { ...query, salt: ownerOf(c) }, send, over.signal);
      await Promise.race([all, pause(Infinity, over.signal)]);
      if (!left.signal.aborted) await sayClosing(send);
    } finally {
      stop();
      closing?.removeEventListener("abort", stop);
      end();
    }
  });
}

async function events(
  { engine, name }: EventParts,
  query: EventQuery & { readonly salt: string },
  send: Send,
  over: AbortSignal,
): Promise<void> {
  const { contextTokens } = engine;
  const about = { model: { name }, contextTokens };
  let known: { readonly ticket: number; readonly tokens: number } | undefined;
  let [since, told, toldAt] = [0, "", 0];
  while (!over.aborted) {
    const asked = { ...query, since, known };
    const [stats, observation] = await Promise.all([
      engine.stats(),
      engine.observe?.(asked) ?? null,
    ]);
    const { turns = [], watched = null } = observation ?? {};
    const busy = turns.length > 0 || (watched?.tokens.length ?? 0) > 0;
    const state = JSON.stringify([stats, watched?.ticket, watched?.ended]);
    if (busy || state !== told || performance.now() - toldAt >= QUIET_MS) {
      await send({ ...about, stats, observation: observation && eventOf(observation) });
      [told, toldAt, since] = [state, performance.now(), observation?.turn ?? 0];
      if (watched !== null) {
        known = { ticket: watched.ticket, tokens: watched.from + watched.tokens.length };
      }
    }
    const more = watched !== null && known!.tokens < watched.length;
    await pause(more ? TEXT_MS : observation === null ? QUIET_MS : EVENT_MS, over);
  }
}

// Bytes travel as base64.
function eventOf({ watched, ...observation }: Observation): object {
  if (watched === null || watched.reads === null) return { ...observation, watched };
  return { ...observation, watched: { ...watched, reads: readsOf(watched.reads) } };
}

function readsOf({ shares, late, ...reads }: ObservedReads): object {
  return { ...reads, shares: base64(shares), late: base64(late) };
}

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return btoa(text);
}

// Who does not read is not waited for.
async function sayClosing(send: Send): Promise<void> {
  const told = new AbortController();
  const sent = send({ closing: true }).finally(() => told.abort());
  await Promise.race([sent, pause(EVENT_MS, told.signal)]);
}

// Until then, or until the signal is aborted.
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((answer) => {
    const timer = ms === Infinity ? undefined : setTimeout(end, ms);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
    function end() {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      answer();
    }
  });
}
