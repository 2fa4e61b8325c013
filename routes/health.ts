// health.ts - whether the server answers; no key needed.
import { Hono } from "hono";
import { only } from "./methods.ts";

/** GET: {"status": "ok"}. */
export function healthRoutes(): Hono {
  const health = new Hono();
  health.get("/", (c) => c.json({ status: "ok" }));
  health.all("/", only("GET"));
  return health;
}
