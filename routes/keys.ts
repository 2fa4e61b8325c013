// keys.ts - API keys as bearer tokens.
import type { Context, MiddlewareHandler } from "hono";
import type { GenerateOptions } from "../engine/config_generate.ts";
import { RequestError } from "./errors.ts";
import { FOR_TENANT, NO_OPERATOR, OTHER_KEY, setOperator } from "./operator.ts";

/** Who may ask. */
export interface Keys {
  /** Of which a request must bring one. */
  readonly keys: readonly string[];
  /** Those that may also read what is done for all keys together. */
  readonly operatorKeys: readonly string[];
}

/**
 * Lets requests with one of the keys pass. Keys are compared by their SHA-256, all of them and all
 * bytes each time, so that how long it takes tells nothing of them.
 */
export function bearerKeys({ keys, operatorKeys }: Keys): MiddlewareHandler {
  const known = Promise.all(keys.map(digestOf)); // (keys, 32) u8
  const operators = Promise.all(operatorKeys.map(digestOf)); // (operatorKeys, 32) u8
  const other = operatorKeys.length > 0 ? OTHER_KEY : NO_OPERATOR;
  return async function checkKey(c, next) {
    const header = c.req.header("Authorization");
    if (header === undefined) {
      throw refused("no API key is given: send the header Authorization: Bearer KEY");
    }
    const token = header.match(/^Bearer +(\S+) *$/i)?.[1];
    if (token === undefined) throw refused("the header Authorization is not: Bearer KEY");
    const digest = await digestOf(token);
    const [asks, operates] = [isAmong(digest, await known), isAmong(digest, await operators)];
    if (!asks && !operates) throw refused("the API key is none of the server's");
    c.set(TENANT, hexOf(digest));
    setOperator(c, !operates ? other : partOf(c) !== "" ? FOR_TENANT : null);
    await next();
  };
}

/** Lets all requests pass: where no keys are asked for there is one tenant, the operator. */
export const anyone: MiddlewareHandler = async (c, next) => {
  setOperator(c, null);
  await next();
};

/**
 * Whose request it is, by its key and a front's header: tenants share nothing that was read of a
 * prompt, and take turns. Where no key is asked for all are one.
 */
export function tenantOf(c: Context): Pick<GenerateOptions, "salt" | "client"> {
  const tenant: string = c.get(TENANT) ?? "";
  return { salt: tenant, client: tenant };
}

/** By it a front that passes requests on tells its own tenants apart. */
export const TENANT_HEADER = "Specache-Tenant";

const TENANT_CHARACTERS_MAX = 200;

/**
 * Parts the tenant of a key by what the header says. Whoever sends it splits what is their own:
 * into another key's tenant nobody comes by it.
 *
 * @throws {RequestError} 400: the header is too long
 */
export const partTenants: MiddlewareHandler = async (c, next) => {
  const part = partOf(c);
  if (part.length > TENANT_CHARACTERS_MAX) {
    const sentence = `Cannot answer: ${part.length} characters of the header ${TENANT_HEADER} ` +
      `are above ${TENANT_CHARACTERS_MAX}`;
    throw new RequestError(400, "argument", sentence);
  }
  if (part !== "") c.set(TENANT, hexOf(await digestOf(`${c.get(TENANT) ?? ""} ${part}`)));
  await next();
};

const TENANT = "tenant";

function partOf(c: Context): string {
  return c.req.header(TENANT_HEADER) ?? "";
}

async function digestOf(key: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(key)));
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
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
