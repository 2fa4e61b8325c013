// sealed.ts - names of what hosts hold open, as clients see them: which host, and its own name for
// it, enciphered for one tenant. Nobody reads an address out of one, makes one up, or uses another
// tenant's; and wherever the same engine runs, it can open it.
//   sealed name   base64url of: nonce (12) u8, AES-GCM of JSON [host, id], tag (16) u8

import { z } from "zod";

const NONCE_BYTES = 12;

/** A name that a host gave: it becomes a part of paths. */
export const hostsName: z.ZodType<string> = z.string().regex(/^[\w-]{1,100}$/);

const sealedText: z.ZodType<readonly [string, string]> = z.tuple([hostsName, hostsName]);

/** What a sealed name stands for. */
export interface Held {
  /** Of the host, whatever its place in the list. */
  readonly host: string;
  /** The host's own name for it. */
  readonly id: string;
}

const encoder = new TextEncoder();

/** Seals names and opens them. */
export class Sealer {
  readonly #secret: string;
  // Not its promise: in some runtimes no request may wait for what another one began.
  #key: CryptoKey | null = null;

  /** Those of equal secrets open each other's. */
  constructor(secret: string) {
    this.#secret = secret;
  }

  /** The name for a tenant. */
  async seal({ host, id }: Held, tenant: string): Promise<string> {
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    const text = encoder.encode(JSON.stringify([host, id]));
    const sealed = await crypto.subtle.encrypt(
      cipher(nonce, tenant),
      await this.#cryptoKey(),
      text,
    );
    return base64Of(new Uint8Array([...nonce, ...new Uint8Array(sealed)]));
  }

  /** What a name stands for; null: none of this tenant's. */
  async open(name: string, tenant: string): Promise<Held | null> {
    const bytes = bytesOf(name);
    if (bytes === null) return null;
    const nonce = bytes.subarray(0, NONCE_BYTES);
    try {
      const rest = bytes.subarray(NONCE_BYTES);
      const key = await this.#cryptoKey();
      const text = await crypto.subtle.decrypt(cipher(nonce, tenant), key, rest);
      const [host, id] = sealedText.parse(JSON.parse(new TextDecoder().decode(text)));
      return { host, id };
    } catch {
      return null; // it was not sealed here, or for somebody else, or is no name
    }
  }

  async #cryptoKey(): Promise<CryptoKey> {
    return this.#key ??= await keyOf(this.#secret);
  }
}

async function keyOf(secret: string): Promise<CryptoKey> {
  const digest = await crypto.subtle.digest("SHA-256", encoder.encode(secret));
  return await crypto.subtle.importKey("raw", digest, "AES-GCM", false, ["encrypt", "decrypt"]);
}

function cipher(iv: Uint8Array<ArrayBuffer>, tenant: string): AesGcmParams {
  return { name: "AES-GCM", iv, additionalData: encoder.encode(tenant) };
}

function base64Of(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function bytesOf(name: string): Uint8Array<ArrayBuffer> | null {
  if (!/^[\w-]{40,1000}$/.test(name)) return null;
  try {
    const text = atob(name.replaceAll("-", "+").replaceAll("_", "/"));
    return Uint8Array.from(text, (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}
