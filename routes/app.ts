/**
 * The HTTP API as one application, for Deno.serve, Bun.serve or whatever else calls `fetch`. It
 * loads no library: the engine is given.
 *
 * @module
 */
import { Hono } from "hono";
import { BODY_SECONDS } from "./body.ts";
import { chatRoutes } from "./chat.ts";
import { completionRoutes } from "./completions.ts";
import type { ServedEngine } from "./engine.ts";
import { answerOf, RequestError, statusOf } from "./errors.ts";
import { anyone, bearerKeys, type Keys, partTenants } from "./keys.ts";
import { Metrics } from "./metrics.ts";
import { modelRoutes } from "./models.ts";
import { operatorAlone } from "./operator.ts";
import { mountResources, type ResourceOptions } from "./resources.ts";
import { responseRoutes } from "./responses.ts";

export type { ServedEngine, ServedGeneration, ServedSession } from "./engine.ts";

/**
 * Largest body of a request in bytes, where the options do not tell: what a context of
 * `contextTokens` could need, for texts are turned into tokens on the main thread, at about a
 * second per MiB. Tokens have 4 bytes on average; escapes of JSON make up to 6 of one.
 */
export function bodyBytesFor(contextTokens: number): number {
  return (64 << 10) + 32 * contextTokens;
}

export type { ResourceOptions } from "./resources.ts";
export type { ServedStore, ServedStores, Told } from "./store_engine.ts";

/** Options of {@linkcode createApp}. */
export interface AppOptions extends ResourceOptions {
  /** What requests call the model; default its own name. */
  readonly name?: string;
  /** Keys of which a request to /v1 must bring one; left out: none is asked for. */
  readonly keys?: readonly string[];
  /**
   * Keys as those, which alone may also read what is done for all of them together: /metrics,
   * /v1/events, and all of /v1/stats. Left out: the one key of `keys` where there are no others and
   * the engine has no other users, else none.
   */
  readonly operatorKeys?: readonly string[];
  /** Largest body of a request in bytes; default {@linkcode bodyBytesFor} the context. */
  readonly bodyBytesMax?: number;
  /** Seconds within which a body must be there; default 60. */
  readonly bodySeconds?: number;
  /** Once aborted, requests that wait or come are refused; what runs goes on. */
  readonly closing?: AbortSignal;
  /** Told of failures on our side, of which the client hears no more than that there was one. */
  readonly report?: (error: unknown) => void;
}

/** An application. */
export interface App {
  /** Answers a request; its signal, aborted, ends what was begun for it. */
  fetch(request: Request): Response | Promise<Response>;
}

/**
 * Serves an engine: /v1/chat/completions, /v1/completions, /v1/responses, /v1/models, /health.
 *
 * @example
 * ```ts
 * import { Engine } from "@specache/specache";
 * import { createApp } from "@specache/specache/app";
 *
 * await using engine = await Engine.open({ model: "models/needle", contextTokens: 512 });
 * const app = createApp(engine, { keys: ["secret"] });
 * const answer = await app.fetch(new Request("http://localhost/health"));
 * console.log(await answer.text()); // {"status":"ok"}
 * ```
 */
export function createApp(engine: ServedEngine, options: AppOptions = {}): App {
  const { closing, name = engine.model.name, report = () => {} } = options;
  const { bodyBytesMax = bodyBytesFor(engine.contextTokens) } = options;
  const { bodySeconds = BODY_SECONDS } = options;
  const app = new Hono();
  app.onError((error) => {
    if (statusOf(error) === 500) report(error);
    return answerOf(error);
  });
  app.notFound((c) => {
    const sentence = `Cannot answer: path ${c.req.path.slice(0, 100)} is not known`;
    return answerOf(new RequestError(404, "not_found", sentence));
  });
  const metrics = new Metrics(engine);
  app.use("/*", metrics.watch);
  const keys = keysOf(engine, options);
  const check = keys === null ? anyone : bearerKeys(keys);
  for (const path of ["/v1/*", "/metrics"]) app.use(path, check);
  app.use("/v1/*", partTenants);
  for (const path of ["/v1/events", "/metrics"]) app.use(path, operatorAlone);
  app.route("/v1/models", modelRoutes(name));
  const parts = { engine, name, bodyBytesMax, bodySeconds, closing, report };
  app.route("/v1/chat/completions", chatRoutes(parts));
  app.route("/v1/completions", completionRoutes(parts));
  app.route("/v1/responses", responseRoutes(parts));
  mountResources(app, { ...parts, metrics, keyed: keys !== null }, options);
  return { fetch: (request) => app.fetch(request) };
}

// Null: none are asked for. Who has the only key is alone here, and may see all of it.
function keysOf(engine: ServedEngine, options: AppOptions): Keys | null {
  const { keys, operatorKeys } = options;
  if (keys === undefined && operatorKeys === undefined) return null;
  const asked = keys ?? [];
  const alone = new Set(asked).size === 1 && !engine.shared;
  return { keys: asked, operatorKeys: operatorKeys ?? (alone ? asked : []) };
}
