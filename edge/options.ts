// options.ts - what a RemoteEngine is opened with, its interface and its schema.
import { z } from "zod";
import { TOKENS_MAX } from "../engine/config.ts";

/** Most hosts of one engine. */
export const HOSTS_MAX = 64;

/** A server of specache. */
export interface HostOptions {
  /** Its address, as https://host:port; what `specache serve` prints, with or without /v1. */
  readonly url: string;
  /** One of its API keys; left out: it asks for none. */
  readonly key?: string;
}

/** Options of a RemoteEngine. */
export interface RemoteEngineOptions {
  /** Servers of the same model, 1 to {@linkcode HOSTS_MAX}. */
  readonly hosts: readonly HostOptions[];
  /** What the hosts call the model; left out: one of them is asked. */
  readonly model?: string;
  /** Longest sequence that all hosts take, in tokens; left out: they are asked. */
  readonly contextTokens?: number;
  /**
   * What seals the names of sessions and stores, 16 characters at least: copies of one engine that
   * are to know each other's have the same. Default: made of the hosts and their keys; where no
   * host has a key, a random one, so that no other copy and no later one knows them.
   */
  readonly secret?: string;
  /** Age in ms at which what is known of a host is asked for again; default 5000. */
  readonly ageMs?: number;
  /** Longest wait in ms for an answer to that; then the host is held to be gone. Default 2000. */
  readonly probeMs?: number;
  /** Silence in ms of a host at work after which it is asked whether it is there; default 5000. */
  readonly silenceMs?: number;
  /** Told of hosts that fail, which clients never hear of. */
  readonly report?: (error: unknown) => void;
}

const address = z.string().refine(isAddress, { error: "is not an http address" });

const key = z.string().regex(/^[!-~]+$/, { error: "has other characters than a header may" });

const milliseconds = z.number().min(1).max(2 ** 31 - 1).optional();

/** Checks {@linkcode RemoteEngineOptions}. */
export const remoteEngineOptions: z.ZodType<RemoteEngineOptions> = z.strictObject({
  hosts: z.array(z.strictObject({ url: address, key: key.optional() })).min(1).max(HOSTS_MAX),
  model: z.string().min(1).optional(),
  contextTokens: z.int().min(1).max(TOKENS_MAX).optional(),
  secret: z.string().min(16).optional(),
  ageMs: milliseconds,
  probeMs: milliseconds,
  silenceMs: milliseconds,
  report: z.custom<(error: unknown) => void>((value) => typeof value === "function", {
    error: "is not a function",
  }).optional(),
});

function isAddress(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search, hash } = new URL(text);
  return /^https?:$/.test(protocol) && `${username}${password}${search}${hash}` === "";
}
