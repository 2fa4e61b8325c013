// plan.ts - what a plan holds; --json prints it as it is.
import type { Budgets } from "../../engine/fit.ts";
import type { StoreShape } from "../../engine/native_config.ts";
import type { CachePlan } from "../../engine/plan.ts";
import type { Predicted } from "../../engine/predict/predict.ts";
import type { Profile } from "../../engine/profile.ts";
import type { Settings } from "../../engine/settings.ts";

/** A cache of some length, and the settings that it follows from. */
export interface Planned {
  readonly settings: Settings;
  readonly profile: Profile | null;
  readonly cache: CachePlan;
}

/** Another plan, beside the one that was asked for. */
export interface Change {
  /** As flags. */
  readonly flags: string;
  readonly reservedBytes: number;
  readonly farBytes: number;
  /** Whether it keeps within the budgets. */
  readonly fits: boolean;
}

/** A plan against budgets. */
export interface Fit extends Budgets {
  /** Most tokens that fit; 0 where none do. */
  readonly longest: number;
  /** What the model was made for at most. */
  readonly modelTokensMax?: number;
  /** Whether far memory is RAM, not a file. */
  readonly inRam: boolean;
  /** Null where the plan fits as it is. */
  readonly changes: readonly Change[] | null;
}

/** Times, and what they were measured on. */
export interface Prediction extends Predicted {
  readonly inputs: number;
  readonly threads: number;
  readonly measuredSeconds: number;
}

/** A plan. */
export interface Plan {
  readonly model: StoreShape;
  readonly cache: CachePlan;
  /** Null without budgets. */
  readonly fit: Fit | null;
  /** Null with --no-measure, or where this machine cannot run the settings. */
  readonly predicted: Prediction | null;
  /** Why it cannot. */
  readonly notPredicted?: string;
}
