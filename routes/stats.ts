// stats.ts - /v1/stats: what the engine holds and has done, as a program reads it; fronts at the
// edge ask their hosts by it.
import { Hono } from "hono";
import type { EngineStats } from "../engine/engine_stats.ts";
import type { ServedEngine } from "./engine.ts";
import { only } from "./methods.ts";
import { isOperator } from "./operator.ts";

/** GET: the engine's stats, with its model's name and its context. */
export function statsRoutes(engine: ServedEngine, name: string): Hono {
  const routes = new Hono();
  routes.get("/", async (c) => {
    const { contextTokens } = engine;
    const stats = await engine.stats();
    const told = isOperator(c) ? stats : loadOf(stats);
    return c.json({ model: { name }, contextTokens, ...told });
  });
  routes.all("/", only("GET"));
  return routes;
}

// What a client or a front must know to choose a server. All else sums up what tenants did.
function loadOf({ sessionsMax, running, waiting }: EngineStats): Partial<EngineStats> {
  return { sessionsMax, running, waiting };
}
