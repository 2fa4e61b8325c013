// resources.ts - everything that is served beside OpenAI's API, on its paths.
import type { Hono } from "hono";
import { dashboardRoutes } from "./dashboard.ts";
import type { ServedEngine } from "./engine.ts";
import { eventRoutes } from "./events.ts";
import { generateRoutes } from "./generate.ts";
import { healthRoutes, readyRoutes } from "./health.ts";
import { IDLE_SECONDS } from "./held.ts";
import type { Metrics } from "./metrics.ts";
import { openapiRoutes } from "./openapi.ts";
import { passRoutes } from "./pass.ts";
import { planRoutes } from "./plan.ts";
import { sessionRoutes } from "./sessions.ts";
import { statsRoutes } from "./stats.ts";
import type { ServedStores } from "./store_engine.ts";
import { STORE_BYTES, StoreMemory, STORES_MAX } from "./store_memory.ts";
import { NUMBERS_BYTES, storeRoutes } from "./stores.ts";

/** Options of what is served beside OpenAI's API. */
export interface ResourceOptions {
  /** Opens raw stores, as KvStore does; left out: /v1/stores is refused. */
  readonly stores?: ServedStores;
  /** Bytes of all raw stores together; default 1 GiB. */
  readonly storeBytesMax?: number;
  /** Raw stores that may be open together; default 16. */
  readonly storesMax?: number;
  /** Largest body of numbers in bytes; default 64 MiB. */
  readonly numbersBytesMax?: number;
  /**
   * Sessions that may be open together; default one less than the engine's sequences, so that
   * requests without one have a place, and at least one.
   */
  readonly sessionsMax?: number;
  /** Seconds after which a session or store that nobody uses is closed; default an hour. */
  readonly idleSeconds?: number;
}

/** What they work with. */
export interface ResourceParts {
  readonly engine: ServedEngine;
  /** What requests call the model. */
  readonly name: string;
  readonly metrics: Metrics;
  /** Whether keys are asked for. */
  readonly keyed: boolean;
  readonly bodyBytesMax: number;
  readonly bodySeconds: number;
  readonly closing?: AbortSignal;
  readonly report: (error: unknown) => void;
}

/** Puts them on their paths. */
export function mountResources(
  app: Hono,
  parts: ResourceParts,
  options: ResourceOptions,
): void {
  const { stores, storeBytesMax = STORE_BYTES, storesMax = STORES_MAX } = options;
  const { numbersBytesMax = NUMBERS_BYTES, idleSeconds = IDLE_SECONDS, sessionsMax } = options;
  const memory = stores === undefined ? null : new StoreMemory(stores, storeBytesMax, storesMax);
  app.route("/health", healthRoutes());
  app.route("/ready", readyRoutes(parts.engine, parts.closing));
  app.route("/openapi.json", openapiRoutes(parts.keyed));
  app.route("/metrics", parts.metrics.routes());
  app.route("/", dashboardRoutes());
  app.route("/v1/events", eventRoutes(parts));
  app.route("/v1/plan", planRoutes(parts.engine));
  app.route("/v1/stats", statsRoutes(parts.engine, parts.name));
  app.route("/v1/generate", generateRoutes(parts));
  const { engine } = parts;
  const pass = engine.pass && passRoutes((request, tenant) => engine.pass!(request, tenant));
  app.route("/v1/sessions", pass ?? sessionRoutes({ ...parts, idleSeconds, sessionsMax }));
  app.route("/v1/stores", pass ?? storeRoutes({ ...parts, memory, numbersBytesMax, idleSeconds }));
}
