// socket.ts - an application on a real port, and requests to it byte by byte.
import { connect, type Socket } from "node:net";
import { listen, type Listening } from "../../cli/listen.ts";
import type { App } from "../../routes/app.ts";

/** Where tests listen: a port that is free. */
export async function onPort(
  app: App,
  body: (port: number, server: Listening) => Promise<void>,
): Promise<void> {
  const server = await listen((request) => app.fetch(request), { hostname: "127.0.0.1", port: 0 });
  try {
    await body(Number(new URL(server.url).port), server);
  } finally {
    await server.end();
  }
}

/** A socket, and what has come of its answer. */
export class Wire {
  readonly socket: Socket;
  /** Settles when the connection is closed, from either side. */
  readonly closed: Promise<void>;
  #chunks: Uint8Array[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((answer) => void socket.once("close", () => answer()));
    socket.on("data", (chunk) => void this.#chunks.push(chunk as Uint8Array));
    socket.on("error", () => {}); // the server may close what was cut
  }

  static async open(port: number): Promise<Wire> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    const wire = new Wire(socket);
    await new Promise<void>((answer) => {
      socket.once("connect", answer);
      socket.once("close", () => answer());
    });
    return wire;
  }

  /** What came so far, byte for byte a character. */
  get text(): string {
    return new TextDecoder("latin1").decode(joined(this.#chunks));
  }

  /** Waits until an answer is whole, the connection is closed, or `milliseconds` are over. */
  async answer(milliseconds = 60_000): Promise<RawAnswer | null> {
    const end = performance.now() + milliseconds;
    let over = false;
    this.closed.then(() => over = true);
    while (performance.now() < end) {
      const answer = answerOf(joined(this.#chunks), over);
      if (answer !== null || over) return answer;
      await new Promise((answer) => setTimeout(answer, 1));
    }
    throw new Error(`no whole answer within ${milliseconds} ms: ${this.text.slice(0, 500)}`);
  }
}

/** An answer as it came. */
export interface RawAnswer {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

// null: it is not whole yet.
function answerOf(bytes: Uint8Array, over: boolean): RawAnswer | null {
  const text = new TextDecoder("latin1").decode(bytes);
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return null;
  const [line, ...lines] = text.slice(0, end).split("\r\n");
  const status = Number(line.split(" ", 2)[1]);
  const headers = Object.fromEntries(
    lines.map((each) => [each.split(":", 1)[0].toLowerCase(), each.replace(/^[^:]*: */, "")]),
  );
  const rest = bytes.subarray(end + 4);
  if (status === 204 || status === 304) return { status, headers, body: new Uint8Array() };
  if (headers["transfer-encoding"] === "chunked") {
    const body = unchunked(rest);
    return body === null ? null : { status, headers, body };
  }
  const length = headers["content-length"];
  if (length === undefined) return over ? { status, headers, body: rest } : null;
  if (rest.length < Number(length)) return null;
  return { status, headers, body: rest.subarray(0, Number(length)) };
}

function unchunked(bytes: Uint8Array): Uint8Array | null {
  const text = new TextDecoder("latin1").decode(bytes);
  const parts: Uint8Array[] = [];
  for (let at = 0;;) {
    const line = text.indexOf("\r\n", at);
    if (line < 0) return null;
    const size = parseInt(text.slice(at, line), 16);
    const begin = line + 2;
    if (bytes.length < begin + size + 2) return null;
    if (size === 0) return joined(parts);
    parts.push(bytes.subarray(begin, begin + size));
    at = begin + size + 2;
  }
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

/** The bytes of a request. */
export function rawRequest(
  line: string,
  headers: Readonly<Record<string, string>>,
  body: string | Uint8Array = "",
): Uint8Array {
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const lines = Object.entries({ Host: "localhost", ...headers })
    .map(([name, value]) => `${name}: ${value}\r\n`);
  const head = new TextEncoder().encode(`${line} HTTP/1.1\r\n${lines.join("")}\r\n`);
  return joined([head, bytes]);
}

/** A POST of JSON. */
export function rawPost(path: string, body: string, headers: Record<string, string> = {}) {
  const length = String(new TextEncoder().encode(body).length);
  return rawRequest(`POST ${path}`, {
    ...{ "Content-Type": "application/json", "Content-Length": length },
    ...headers,
  }, body);
}
