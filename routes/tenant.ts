// tenant.ts - whom a request is from.
import type { Context } from "hono";
import type { GenerateOptions } from "../engine/config_generate.ts";

/** Whose request it is, as its key tells; "" where no keys are asked for. */
export function tenantOf(c: Context): string {
  return (c.get("tenant") as string | undefined) ?? "";
}

/** Options of a generation, as the tenant's. */
export function ofTenant<T extends GenerateOptions>(_c: Context, options: T): T {
  return options;
}
