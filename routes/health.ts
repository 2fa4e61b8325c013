// health.ts - whether the server answers, and whether it takes requests; no key needed.
import { Hono } from "hono";
import { SpecacheError } from "../engine/errors.ts";
import type { ServedEngine } from "./engine.ts";
import { only } from "./methods.ts";

/** GET: {"status": "ok"}, also while the server is closing. */
export function healthRoutes(): Hono {
  const health = new Hono();
  health.get("/", (c) => c.json({ status: "ok" }));
  health.all("/", only("GET"));
  return health;
}

/** GET: {"status": "ready"}, or 503 once `closing` is aborted, or where the engine is not. */
export function readyRoutes(engine: Pick<ServedEngine, "ready">, closing?: AbortSignal): Hono {
  const ready = new Hono();
  ready.get("/", async (c) => {
    if (closing?.aborted) {
      throw new SpecacheError("closed", "Cannot answer: the server is closing");
    }
    await engine.ready?.();
    return c.json({ status: "ready" });
  });
  ready.all("/", only("GET"));
  return ready;
}
