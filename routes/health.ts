// health.ts - whether the server answers, and whether it takes requests; no key needed.
import { Hono } from "hono";
import { SpecacheError } from "../engine/errors.ts";
import { only } from "./methods.ts";

/** GET: {"status": "ok"}, also while the server is closing. */
export function healthRoutes(): Hono {
  const health = new Hono();
  health.get("/", (c) => c.json({ status: "ok" }));
  health.all("/", only("GET"));
  return health;
}

/** GET: {"status": "ready"}, or 503 once `closing` is aborted. */
export function readyRoutes(closing?: AbortSignal): Hono {
  const ready = new Hono();
  ready.get("/", (c) => {
    if (!closing?.aborted) return c.json({ status: "ready" });
    throw new SpecacheError("closed", "Cannot answer: the server is closing");
  });
  ready.all("/", only("GET"));
  return ready;
}
