// llama3.ts - what the demo's settings give for a Llama-3-8B at 32K: planned, nothing is allocated.

import { profileSizes, usesProfile } from "../engine/profile_auto.ts";
import type { Mode } from "../engine/config.ts";
import { type CachePlan, planCache } from "../engine/plan.ts";
import { settle } from "../engine/settings.ts";

/** A plan by mode. */
export interface ModePlan extends CachePlan {
  readonly mode: Mode;
}

const SHAPE = { layers: 32, kvHeads: 8, queryHeads: 32, headDim: 128 };
const TOKENS = 32_768;

/** Plans each mode for one sequence of 32,768 tokens, far memory in a file. */
export function planLlama3(modes: readonly Mode[]): ModePlan[] {
  return modes.map((mode) => {
    const far = mode === "full" ? "ram" : { file: "far" }; // named only: a plan opens no file
    const profile = usesProfile({ mode }) ? profileSizes(SHAPE) : null;
    const parts = profile && { keys: true, values: true };
    const settings = settle({ mode, far }, TOKENS, parts, "plan a cache");
    return { mode, ...planCache(settings, SHAPE, profile, TOKENS) };
  });
}
