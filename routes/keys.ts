// keys.ts - API keys as bearer tokens.
import type { MiddlewareHandler } from "hono";
import { RequestError } from "./errors.ts";

/**
 * Lets requests with one of `keys` pass. Keys are compared by their SHA-256, all of them and all
 * bytes each time, so that how long it takes tells nothing of them.
 */
export function bearerKeys(keys: readonly string[]): MiddlewareHandler {
  const known = Promise.all(keys.map(digestOf)); // (keys, 32) u8
  return async function checkKey(c, next) {
    const header = c.req.header("Authorization");
    if (header === undefined) {
      throw refused("no API key is given: send the header Authorization: Bearer KEY");
    }
    const token = header.match(/^Bearer +(\S+) *$/i)?.[1];
    if (token === undefined) throw refused("the header Authorization is not: Bearer KEY");
    if (!isAmong(await digestOf(token), await known)) {
      throw refused("the API key is none of the server's");
    }
    await next();
  };
}

async function digestOf(key: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(key)));
}

function isAmong(digest: Uint8Array, known: readonly Uint8Array[]): boolean {
  let found = 0;
  for (const other of known) {
    let difference = 0;
    for (let at = 0; at < digest.length; at++) difference |= digest[at] ^ other[at];
    found |= Number(difference === 0);
  }
  return found === 1;
}

function refused(why: string): RequestError {
  const headers = { "WWW-Authenticate": "Bearer" };
  return new RequestError(401, "invalid_api_key", `Cannot answer: ${why}`, null, headers);
}
