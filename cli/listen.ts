// listen.ts - serves an application on a port: by Bun.serve, and in Deno by node:http. Deno.serve
// (2.9) does not tell that a client has left when the head and the body of its request came in two
// packets, as they often do, and a generation that nobody reads would go on to its end.
import { lookup } from "node:dns/promises";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout } from "node:timers/promises";
import { getRequestListener } from "@hono/node-server";
import { SpecacheError } from "../engine/errors.ts";

type Fetch = (request: Request) => Response | Promise<Response>;

/** A server that listens. */
export interface Listening {
  /** Its address, as http://host:port. */
  readonly url: string;
  /** Takes no new connections; settles when what runs is answered. */
  close(): Promise<void>;
  /** Takes no new connections, and ends those that are there. */
  end(): Promise<void>;
}

/** Where to listen. */
export interface Place {
  readonly hostname: string;
  /** 0: one that is free. */
  readonly port: number;
}

/**
 * Listens.
 *
 * @throws {SpecacheError} argument: the port is taken or not allowed, or the host not this machine
 */
export async function listen(
  fetch: Fetch,
  place: Place,
  stalledMs: number = STALLED_MS,
): Promise<Listening> {
  try {
    await lookup(place.hostname); // Bun's own error of a name that is none has any code
    return "Bun" in globalThis
      ? listenInBun(fetch, place, stalledMs)
      : await listenInDeno(fetch, place, stalledMs);
  } catch (cause) {
    const { hostname, port } = place;
    throw new SpecacheError("argument", `Cannot serve: ${refusalOf(cause, place)}`, {
      cause,
      details: { hostname, port },
    });
  }
}

const noAddress: readonly string[] = [
  "EADDRNOTAVAIL",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EINVAL",
  "ENOENT",
];

// Names flags: only the command line listens. Bun tells no more than that a port is taken, or that
// it failed to listen.
function refusalOf(cause: unknown, { hostname, port }: Place): string {
  const { code, message } = cause as { code?: string; message: string };
  const at = `--port ${port} of --host ${hostname}`;
  if (code === "EADDRINUSE") return `${at} is taken; end who has it, or name another`;
  if (code === "EACCES") return `${at} is not for this user; name one from 1024 on`;
  if (noAddress.includes(code ?? "")) {
    return `--host ${hostname} is no address of this machine`;
  }
  return `${at} cannot be listened at (${message})`;
}

async function listenInDeno(
  fetch: Fetch,
  { hostname, port }: Place,
  stalledMs: number,
): Promise<Listening> {
  const answer = getRequestListener(fetch, { overrideGlobalObjects: false });
  const running = new Set<ServerResponse>();
  const server = createServer((request, response) => {
    running.add(response);
    for (const event of ["finish", "close"]) response.once(event, () => running.delete(response));
    return answer(request, response);
  });
  await new Promise<void>((answer, fail) => {
    server.once("error", fail);
    server.listen(port, hostname, answer);
  });
  const { address, port: taken } = server.address() as AddressInfo;
  const closed = () => new Promise<void>((answer) => server.close(() => answer()));
  return {
    url: urlOf({ hostname: address, port: taken }),
    close() {
      const end = closed();
      server.closeIdleConnections();
      const since = new Map<ServerResponse, Progress>();
      const reads = (response: ServerResponse) => !isStalled(response, since, stalledMs);
      const waitedFor = () => [...running].filter(reads).length;
      return closeWhenQuiet(end, waitedFor, () => server.closeAllConnections());
    },
    end() {
      const end = closed();
      server.closeAllConnections();
      return end;
    },
  };
}

/** Bytes that a client has taken, and since when it has not taken more. */
interface Progress {
  readonly bytes: number;
  readonly at: number;
}

/** Milliseconds that a server which closes waits for a client that reads nothing. */
export const STALLED_MS = 30_000;

// Whether there has been something to read for long, and the client reads nothing.
function isStalled(
  response: ServerResponse,
  since: Map<ServerResponse, Progress>,
  stalledMs: number,
): boolean {
  const now = performance.now();
  const bytes = response.socket?.bytesWritten ?? 0;
  const last = since.get(response);
  const goesOn = response.writableLength === 0 || last === undefined || last.bytes !== bytes;
  if (goesOn) since.set(response, { bytes, at: now });
  return !goesOn && now - last.at > stalledMs;
}

// A connection whose request never came whole is none that is waited for.
async function closeWhenQuiet(
  closed: Promise<void>,
  running: () => number,
  closeAll: () => void,
): Promise<void> {
  let isClosed = false;
  closed.then(() => isClosed = true);
  while (!isClosed && running() > 0) await setTimeout(10);
  await Promise.race([closed, setTimeout(LAST_BYTES_MS)]);
  closeAll();
  await closed;
}

const LAST_BYTES_MS = 200; // in which what was answered last reaches its clients

// What is used of Bun.serve.
interface BunServer {
  readonly hostname: string;
  readonly port: number;
  /** Requests that are not answered yet. */
  readonly pendingRequests: number;
  stop(all?: boolean): Promise<void>;
}
interface Bun {
  serve(options: Place & { readonly fetch: Fetch; readonly idleTimeout: number }): BunServer;
}

function listenInBun(fetch: Fetch, place: Place, stalledMs: number): Listening {
  const { Bun } = globalThis as unknown as { readonly Bun: Bun };
  const answers = new Answers();
  // A prefill may take minutes in which nothing is sent: no connection is idle for good.
  const server = Bun.serve({ ...place, fetch: answers.watch(fetch), idleTimeout: 0 });
  return {
    url: urlOf(server),
    close() {
      const end = server.stop();
      answers.goOn();
      const waitedFor = () => answers.isStalled(stalledMs) ? 0 : server.pendingRequests;
      return closeWhenQuiet(end, waitedFor, () => void server.stop(true));
    },
    end: () => server.stop(true),
  };
}

// What is answered in Bun, which does not tell who reads: it asks for more of a stream of events
// where its client has read, and of an answer in one piece nobody hears before its end.
class Answers {
  #atWork = 0; // requests and streams that the application is to say more of
  #wentOn = 0; // when it said something last

  goOn(): void {
    this.#wentOn = performance.now();
  }

  isStalled(stalledMs: number): boolean {
    return this.#atWork === 0 && performance.now() - this.#wentOn > stalledMs;
  }

  watch(fetch: Fetch): Fetch {
    return async (request) => {
      const response = await this.#working(async () => await fetch(request));
      const type = response.headers.get("Content-Type");
      if (type !== "text/event-stream" || response.body === null) return response;
      return new Response(this.#watched(response.body), response);
    };
  }

  #watched(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
    const reader = body.getReader();
    return new ReadableStream({
      pull: async (controller) => {
        const { value, done } = await this.#working(() => reader.read());
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    }, { highWaterMark: 0 });
  }

  async #working<Said>(say: () => Promise<Said>): Promise<Said> {
    this.#atWork++;
    try {
      return await say();
    } finally {
      this.#atWork--;
      this.goOn();
    }
  }
}

function urlOf({ hostname, port }: Place): string {
  return `http://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}
