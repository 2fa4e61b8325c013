// session.ts - a session that a host holds open. Its requests go to that host and no other.
import { z } from "zod";
import type { GenerateOptions, PromptOptions } from "../engine/config_generate.ts";
import type { CacheStats } from "../engine/stats.ts";
import type { ServedSession } from "../routes/engine.ts";
import { type GenerationParts, RemoteGeneration } from "./generation.ts";
import type { Ask, Host } from "./host.ts";
import { hostsName } from "./sealed.ts";
import { HostError, toldOf } from "./host_error.ts";
import { watched } from "./pulse.ts";

/** What hosts tell of a session. */
export interface SessionTold {
  readonly id: string;
  readonly length: number;
  readonly stats?: unknown;
}

/** Checks {@linkcode SessionTold}. */
export const sessionTold: z.ZodType<SessionTold> = z.looseObject({
  id: hostsName,
  length: z.number(),
});

type Parts = Omit<GenerationParts, "path" | "place">;

/** A session on a host; RemoteEngine.session opens one. */
export class RemoteSession implements ServedSession, AsyncDisposable {
  readonly #host: Host;
  readonly #parts: Parts;
  readonly #path: string;
  #length: number;
  #closed = false;

  /** RemoteEngine.session and fork make sessions. */
  constructor(host: Host, parts: Parts, { id, length }: SessionTold) {
    this.#host = host;
    this.#parts = parts;
    this.#path = `/v1/sessions/${id}`;
    this.#length = length;
  }

  /** Tokens that the session holds. */
  get length(): number {
    return this.#length;
  }

  /** Goes on from what the session holds. */
  generate(options: GenerateOptions): RemoteGeneration {
    return new RemoteGeneration({
      ...this.#parts,
      path: `${this.#path}/generate`,
      place: (_, attempt) => here(() => attempt(this.#host)),
      more: ({ length }) => this.#length = Number(length),
    }, options);
  }

  /** Reads a prompt and generates nothing. */
  async append({ signal, progress: _, ...options }: PromptOptions): Promise<void> {
    await this.#change("append", options, signal);
  }

  /** Forgets all but the first `tokens` tokens. */
  async truncate(tokens: number): Promise<void> {
    await this.#change("truncate", { tokens });
  }

  /** A second session with the same tokens, on the same host. */
  async fork(): Promise<RemoteSession> {
    return new RemoteSession(this.#host, this.#parts, await this.#change("fork", {}));
  }

  /** What the session holds and what was fetched for it. */
  async stats(): Promise<CacheStats> {
    return (await this.#ask("", sessionTold)).stats as CacheStats;
  }

  /** Gives the session's memory back; closing twice is fine. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#ask("", z.looseObject({}), { method: "DELETE" });
  }

  /** As close(). */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #change(verb: string, body: object, signal?: AbortSignal): Promise<SessionTold> {
    const told = await this.#ask(`/${verb}`, sessionTold, { ...postOf(body), signal });
    if (verb !== "fork") this.#length = told.length;
    return told;
  }

  async #ask<T>(path: string, schema: z.ZodType<T>, ask: Ask = {}): Promise<T> {
    const host = this.#host;
    return await here(() =>
      watched(host, this.#parts.silenceMs, async (signal) => {
        const response = await host.ask(this.#path + path, { ...ask, signal });
        return await host.json(response, schema, signal);
      }, ask.signal)
    );
  }
}

/** A POST of JSON. */
export function postOf(body: object): Ask {
  const headers = { "Content-Type": "application/json" };
  return { method: "POST", headers, body: JSON.stringify(body) };
}

/** Runs what one host alone can do: where it does not take it, nobody does. */
export async function here<R>(body: () => Promise<R>): Promise<R> {
  try {
    return await body();
  } catch (cause) {
    throw cause instanceof HostError ? toldOf(cause) : cause;
  }
}
