// body.ts - a request's body as JSON or as bytes, never more of it than the limit, and never waited
// for longer than it may take.
import { RequestError } from "./errors.ts";

/** Seconds within which a body must be there, where the options do not tell. */
export const BODY_SECONDS = 60;

/** Deepest nesting of a JSON body: what walks through a value of a request has a stack. */
export const DEPTH_MAX = 64;

/**
 * The JSON object that a request carries.
 *
 * @throws {RequestError} 413: above `bytesMax`; 415: another type; 408: not there within `seconds`;
 * 400: no JSON object
 */
export async function jsonOf(
  request: Request,
  bytesMax: number,
  seconds: number = BODY_SECONDS,
): Promise<Readonly<Record<string, unknown>>> {
  // A web page may post text/plain to any address, loopback too, but JSON only where it is let.
  checkType(request, "application/json");
  const value = parsed(await read(request, bytesMax, seconds));
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw broken("it is not a JSON object");
}

/**
 * The bytes that a request carries; `above` makes the error of what has more than `bytesMax`, by
 * the bytes that it has, or that were read of it.
 *
 * @throws {RequestError} 415: another type; 408: not there within `seconds`; and `above`
 */
export async function bytesOf(
  request: Request,
  bytesMax: number,
  seconds: number,
  above: (bytes: number) => Error,
): Promise<Uint8Array<ArrayBuffer>> {
  checkType(request, "application/octet-stream");
  return await read(request, bytesMax, seconds, above);
}

function checkType(request: Request, type: string): void {
  const told = request.headers.get("Content-Type") ?? "";
  if (told.split(";", 1)[0].trim().toLowerCase() === type) return;
  const sentence = `Cannot read the body: Content-Type ${told.slice(0, 60) || '""'} is not ${type}`;
  throw new RequestError(415, "unsupported_media_type", sentence);
}

async function read(
  request: Request,
  bytesMax: number,
  seconds: number,
  above: (bytes: number) => Error = () => tooLarge(bytesMax),
): Promise<Uint8Array<ArrayBuffer>> {
  const length = Number(request.headers.get("Content-Length") ?? 0);
  if (length > bytesMax) throw above(length);
  const reader = request.body?.getReader();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    reader?.cancel().catch(() => {}); // ends the read that waits
  }, seconds * 1000);
  try {
    while (reader !== undefined && bytes <= bytesMax) {
      const { value, done } = await reader.read();
      if (done) break;
      bytes += value.length;
      if (bytes <= bytesMax) chunks.push(value);
    }
  } catch {
    if (!late) throw broken(`it ended after ${bytes} bytes`); // the client has left
  } finally {
    clearTimeout(timer);
  }
  if (late) throw tooSlow(bytes, seconds);
  if (bytes > bytesMax) {
    reader?.cancel().catch(() => {});
    throw above(bytes);
  }
  return joined(chunks, bytes);
}

function joined(chunks: readonly Uint8Array[], bytes: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

function parsed(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw broken("it is not UTF-8");
  }
  if (isDeep(bytes)) throw broken(`it is nested deeper than ${DEPTH_MAX}`);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw broken(`it is not JSON: ${(error as Error).message.slice(0, 200)}`);
  }
}

const [QUOTE, BACKSLASH, OPEN, OPEN_OBJECT, CLOSE, CLOSE_OBJECT] = [...'"\\[{]}'].map((each) =>
  each.charCodeAt(0)
);

function isDeep(bytes: Uint8Array): boolean {
  let depth = 0;
  let inText = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (inText) {
      if (byte === BACKSLASH) at++;
      else if (byte === QUOTE) inText = false;
    } else if (byte === QUOTE) inText = true;
    else if (byte === OPEN || byte === OPEN_OBJECT) {
      if (++depth > DEPTH_MAX) return true;
    } else if (byte === CLOSE || byte === CLOSE_OBJECT) depth--;
  }
  return false;
}

function broken(why: string): RequestError {
  return new RequestError(400, "argument", `Cannot read the body: ${why}`, "body");
}

function tooLarge(bytesMax: number): RequestError {
  const sentence = `Cannot read the body: it is above ${bytesMax} bytes`;
  return new RequestError(413, "body_too_large", sentence, "body");
}

// What is still to come of the body would be read as the next request.
function tooSlow(bytes: number, seconds: number): RequestError {
  const sentence = `Cannot read the body: after ${seconds} s only ${bytes} bytes of it are there`;
  return new RequestError(408, "body_too_slow", sentence, "body", { Connection: "close" });
}
