// body.ts - a request's body as JSON, and never more of it than the limit.
import { RequestError } from "./errors.ts";

/**
 * The JSON object that a request carries.
 *
 * @throws {RequestError} 413: above `bytesMax`; 415: another type; 400: no JSON object
 */
export async function jsonOf(
  request: Request,
  bytesMax: number,
): Promise<Readonly<Record<string, unknown>>> {
  // A web page may post text/plain to any address, loopback too, but JSON only where it is let.
  const type = request.headers.get("Content-Type") ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    const sentence = `Cannot read the body: Content-Type ${type.slice(0, 60) || '""'} is not ` +
      "application/json";
    throw new RequestError(415, "unsupported_media_type", sentence);
  }
  const value = parsed(await bytesOf(request, bytesMax));
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw broken("it is not a JSON object");
}

async function bytesOf(request: Request, bytesMax: number): Promise<Uint8Array> {
  const length = Number(request.headers.get("Content-Length") ?? 0);
  if (length > bytesMax) throw tooLarge(bytesMax);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request.body ?? []) {
      bytes += chunk.length;
      if (bytes > bytesMax) break;
      chunks.push(chunk);
    }
  } catch {
    throw broken(`it ended after ${bytes} bytes`); // the client has left
  }
  if (bytes > bytesMax) throw tooLarge(bytesMax);
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
  try {
    return JSON.parse(text);
  } catch (error) {
    throw broken(`it is not JSON: ${(error as Error).message.slice(0, 200)}`);
  }
}

function broken(why: string): RequestError {
  return new RequestError(400, "argument", `Cannot read the body: ${why}`, "body");
}

function tooLarge(bytesMax: number): RequestError {
  const sentence = `Cannot read the body: it is above ${bytesMax} bytes`;
  return new RequestError(413, "body_too_large", sentence, "body");
}
