// fit.ts - what fits a budget of near and far memory.
import { z } from "zod";
import type { CachePlan } from "./plan.ts";

/** Budgets in bytes; left out: none. */
export interface Budgets {
  /** Of what CachePlan calls reservedBytes. */
  readonly nearBytes?: number;
  /** Of farBytes. */
  readonly farBytes?: number;
}

const bytes = z.int().min(1).max(Number.MAX_SAFE_INTEGER);

/** Checks {@linkcode Budgets}. */
export const budgets: z.ZodType<Budgets> = z.strictObject({
  nearBytes: bytes.optional(),
  farBytes: bytes.optional(),
});

/** Whether a plan keeps within the budgets. */
export function fits(plan: CachePlan, { nearBytes, farBytes }: Budgets): boolean {
  return plan.reservedBytes <= (nearBytes ?? Infinity) && plan.farBytes <= (farBytes ?? Infinity);
}

/** The most tokens, up to `tokensMax`, whose plan keeps within the budgets; 0 where none does. */
export function longestFit(
  planAt: (tokens: number) => CachePlan,
  asked: Budgets,
  tokensMax: number,
): number {
  let [longest, tooLong] = [0, tokensMax + 1];
  while (tooLong - longest > 1) {
    const tokens = Math.floor((longest + tooLong) / 2);
    if (fits(planAt(tokens), asked)) longest = tokens;
    else tooLong = tokens;
  }
  return longest;
}
