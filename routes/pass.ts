// pass.ts - paths that the engine answers itself, for it knows the hosts that hold what they name.
import { Hono } from "hono";
import type { ServedEngine } from "./engine.ts";
import { tenantOf } from "./keys.ts";

/** All methods of all paths below. */
export function passRoutes(pass: NonNullable<ServedEngine["pass"]>): Hono {
  const passed = new Hono();
  passed.all("/*", (c) => pass(c.req.raw, tenantOf(c).salt ?? ""));
  return passed;
}
