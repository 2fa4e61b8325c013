// changes.ts - what to change where a plan does not fit: settings one at a time, each planned anew.
import type { CacheOptions } from "../../engine/config.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { type Budgets, fits } from "../../engine/fit.ts";
import type { Change, Planned } from "./plan.ts";

type PlanAt = (tokens: number, change: CacheOptions) => Planned;

// Flags, and the options that they stand for; those that lose least come first.
const candidates: readonly (readonly [flags: string, change: CacheOptions])[] = [
  ["--kv-type bf16", { kvType: "bf16" }],
  ["--mode specache", { mode: "specache", rule: undefined, group: undefined }],
  ["--profile auto", { profile: "auto" }],
  ["--slots 64", { slots: 64 }],
  ["--slots 0", { slots: 0 }],
  ["--key-bits 1", { keyBits: 1 }],
  ["--setting compact", { setting: "compact", keyBits: undefined }],
  ["--profile auto --setting compact", {
    ...{ profile: "auto", setting: "compact" },
    keyBits: undefined,
  }],
];

/** Changes that fit, else those that help; null where the plan fits as it is. */
export function changesOf(
  planAt: PlanAt,
  tokens: number,
  { cache }: Planned,
  budgets: Budgets,
): Change[] | null {
  if (fits(cache, budgets)) return null;
  const { nearBytes = Infinity, farBytes = Infinity } = budgets;
  const [near, far] = [cache.reservedBytes > nearBytes, cache.farBytes > farBytes];
  const changes = candidates.flatMap(([flags, change]): Change[] => {
    const changed = attempt(() => planAt(tokens, change));
    if (changed === null) return [];
    const { reservedBytes, farBytes } = changed.cache;
    const helps = near && reservedBytes < cache.reservedBytes || far && farBytes < cache.farBytes;
    return helps ? [{ flags, reservedBytes, farBytes, fits: fits(changed.cache, budgets) }] : [];
  });
  const fitting = changes.filter((change) => change.fits);
  return fitting.length > 0 ? fitting : changes;
}

// What cannot be changed so is no advice.
function attempt(plan: () => Planned): Planned | null {
  try {
    return plan();
  } catch (error) {
    if (error instanceof SpecacheError) return null;
    throw error;
  }
}
