// stats.ts - /v1/stats: what the engine holds and has done, as a program reads it; fronts at the
// edge ask their hosts by it.
import { Hono } from "hono";
import type { ServedEngine } from "./engine.ts";
import { only } from "./methods.ts";

/** GET: the engine's stats, with its model's name and its context. */
export function statsRoutes(engine: ServedEngine, name: string): Hono {
  const stats = new Hono();
  stats.get("/", async (c) => {
    const { contextTokens } = engine;
    return c.json({ model: { name }, contextTokens, ...await engine.stats() });
  });
  stats.all("/", only("GET"));
  return stats;
}
