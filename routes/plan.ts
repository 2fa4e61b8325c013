// plan.ts - /v1/plan: every byte of the cache, for a sequence of so many tokens.
import { Hono } from "hono";
import { z } from "zod";
import { tokenCount, TOKENS_MAX } from "../engine/config.ts";
import { parse } from "../engine/parse.ts";
import type { ServedEngine } from "./engine.ts";
import { only } from "./methods.ts";
import { queryOf } from "./query.ts";

const query: z.ZodType<{ readonly tokens?: string }> = z.strictObject({
  tokens: z.string().regex(/^\d{1,8}$/, { error: `is no number of 0 to ${TOKENS_MAX}` }).optional(),
});

/** GET: a plan of `tokens`, of the whole context where left out. */
export function planRoutes(engine: Pick<ServedEngine, "plan">): Hono {
  const plan = new Hono();
  plan.get("/", async (c) => {
    const action = "plan a cache";
    const { tokens: text } = parse(query, queryOf(c.req.raw, action), action);
    if (text === undefined) return c.json(await engine.plan());
    const { tokens } = parse(tokenCount, { tokens: Number(text) }, action);
    return c.json(await engine.plan(tokens));
  });
  plan.all("/", only("GET"));
  return plan;
}
