// listen.ts - serves an application on a port, by Deno.serve or Bun.serve.
import { SpecacheError } from "../engine/errors.ts";

type Fetch = (request: Request) => Response | Promise<Response>;

/** A server that listens. */
export interface Listening {
  /** Its address, as http://host:port. */
  readonly url: string;
  /** Takes no new connections; settles when what runs is answered. */
  close(): Promise<void>;
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
export function listen(fetch: Fetch, place: Place): Listening {
  try {
    return "Bun" in globalThis ? listenInBun(fetch, place) : listenInDeno(fetch, place);
  } catch (cause) {
    const why = (cause as Error).message;
    const { hostname, port } = place;
    throw new SpecacheError("argument", `Cannot serve: ${hostname} port ${port}: ${why}`, {
      cause,
      details: { hostname, port },
    });
  }
}

function listenInDeno(fetch: Fetch, place: Place): Listening {
  const server = Deno.serve({ ...place, onListen() {} }, (request) => fetch(request));
  return { url: urlOf(server.addr), close: () => server.shutdown() };
}

// What is used of Bun.serve.
interface BunServer {
  readonly hostname: string;
  readonly port: number;
  stop(): Promise<void>;
}
interface Bun {
  serve(options: Place & { readonly fetch: Fetch; readonly idleTimeout: number }): BunServer;
}

function listenInBun(fetch: Fetch, place: Place): Listening {
  const { Bun } = globalThis as unknown as { readonly Bun: Bun };
  // A prefill may take minutes in which nothing is sent: no connection is idle for good.
  const server = Bun.serve({ ...place, fetch, idleTimeout: 0 });
  return { url: urlOf(server), close: () => server.stop() };
}

function urlOf({ hostname, port }: Place): string {
  return `http://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}
