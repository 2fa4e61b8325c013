// metrics.ts - /metrics: what the server has done and what it holds, as Prometheus reads it. Counts
// of requests are kept here; all else is asked of the engine when somebody reads.
import { Hono, type MiddlewareHandler } from "hono";
import { routePath } from "hono/route";
import { Counter, Histogram, Registry } from "prom-client";
import type { ServedEngine } from "./engine.ts";
import { only } from "./methods.ts";
import { engineMetrics } from "./metrics_engine.ts";

// From a refusal, in a millisecond, to a prompt of a long document, in minutes.
const SECONDS = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

/** What is measured of an application. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #engine: Pick<ServedEngine, "stats">;
  readonly #requests: Counter<"route" | "status">;
  readonly #seconds: Histogram<"route">;

  /** Nothing is counted yet. */
  constructor(engine: Pick<ServedEngine, "stats">) {
    this.#engine = engine;
    const registers = [this.#registry];
    this.#requests = new Counter({
      name: "specache_http_requests_total",
      help: "Requests that were answered, by route and status",
      labelNames: ["route", "status"],
      registers,
    });
    this.#seconds = new Histogram({
      name: "specache_http_request_seconds",
      help: "Seconds from a request's head to the end of its answer, of a stream too",
      labelNames: ["route"],
      buckets: SECONDS,
      registers,
    });
  }

  /** Counts and times what comes after it. */
  readonly watch: MiddlewareHandler = async (c, next) => {
    const began = performance.now();
    await next();
    const route = routeOf(routePath(c, -1));
    const status = String(c.res.status);
    const end = () => {
      this.#requests.inc({ route, status });
      this.#seconds.observe({ route }, (performance.now() - began) / 1000);
    };
    const { body, headers } = c.res;
    const streams = headers.get("Content-Type")?.startsWith("text/event-stream") ?? false;
    if (body === null || !streams) return end();
    c.res = new Response(watched(body, end), c.res);
  };

  /** GET: all that is known now. */
  routes(): Hono {
    const metrics = new Hono();
    metrics.get("/", async (c) => {
      const engine = engineMetrics(await this.#engine.stats());
      const texts = [await this.#registry.metrics(), await engine.metrics()];
      return c.body(texts.join("\n"), 200, { "Content-Type": engine.contentType });
    });
    metrics.all("/", only("GET"));
    return metrics;
  }
}

// A route that is none has as many names as requests may think of.
function routeOf(path: string): string {
  return path.endsWith("*") ? "none" : path.replace(/\{.*\}/, "");
}

// The same bytes; `end` is called once, when all are read or the reader has left.
function watched(
  body: ReadableStream<Uint8Array>,
  end: () => void,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let over = false;
  const once = () => {
    if (!over) end();
    over = true;
  };
  return new ReadableStream({
    async pull(controller) {
      try {
        const { value, done } = await reader.read();
        if (!done) return controller.enqueue(value);
        controller.close();
        once();
      } catch (error) {
        controller.error(error);
        once();
      }
    },
    async cancel(reason) {
      once(); // a read that waits ends by it
      await reader.cancel(reason);
    },
  }, { highWaterMark: 0 }); // reads no more than is asked for: who leaves is noticed at once
}
