// owner.ts - whose a session or a store is.
import type { Context } from "hono";
import { tenantOf } from "./keys.ts";

/** The tenant of a request, by its key; "" where no keys are asked for. */
export function ownerOf(c: Context): string {
  return tenantOf(c).salt ?? "";
}
