// profile_auto.ts - the profile that an engine opens with: the one kept for its model, else one
// that is measured now where that is quick, else none. A profile brings less near memory and less
// loss, never other answers within a step, so nothing here may keep an engine from opening.
import type { CacheOptions } from "./config.ts";
import { SpecacheError } from "./errors.ts";
import type { ModelDescription } from "./model/describe.ts";
import { loadTokenizer } from "./model/tokenizer.ts";
import { type Profile, readProfile } from "./profile.ts";
import type { StoreShape } from "./native_config.ts";
import { keyBitsOf, type MeasuredProfile } from "./profile_measure.ts";
import { modelHash, profilePath, storedProfile, writeProfileFile } from "./profile_store.ts";
import { planesOf } from "./profile_values.ts";
import { profileText } from "./profile_text.ts";

/** Tokens of the text that a profile is measured on, at most; METHOD section 7: 1.8K serve. */
export const PROFILE_TOKENS = 2048;
/** Longest that measuring may take at an open, milliseconds. */
export const AUTO_LIMIT_MS = 10_000;

/** What an open asks for. */
export interface ProfileWish {
  /** Path of the model. */
  readonly model: string;
  readonly description: ModelDescription;
  /** As EngineOptions has it. */
  readonly profile: string | undefined;
  /** Whether the codes can use one. */
  readonly useful: boolean;
  /** Told what happens, one sentence each. */
  notice(sentence: string): void;
  /** Measures, or null where it would take longer than `limitMs`. */
  measure(ids: readonly number[], limitMs: number): Promise<MeasuredProfile | null>;
}

/**
 * The profile to open with, or null.
 *
 * @throws {SpecacheError} file: the file that was asked for is broken
 */
export async function profileFor(wish: ProfileWish): Promise<Profile | null> {
  const { description, profile, useful } = wish;
  if (profile === "none") return null;
  if (profile !== undefined && profile !== "auto") return readProfile(profile, description);
  if (!useful || description.headDim % 4 !== 0) return null;
  const path = profilePath(modelHash(description));
  const stored = storedProfile(path, description);
  return stored ?? await measured(wish, path);
}

/** Whether codes can use the profile that is kept or measured. */
export function usesProfile({ mode = "specache", rule = "rotated" }: CacheOptions): boolean {
  return mode === "specache" && rule === "rotated";
}

/** The sizes of a measured profile, without its numbers: plans need no more. */
export function profileSizes({ layers, kvHeads, headDim }: StoreShape): Profile {
  return {
    valuePlanes: planesOf(headDim),
    keyBits: keyBitsOf(new Float64Array(layers * kvHeads)),
    valueBasis: new Float32Array(0),
    planeChannel: new Uint32Array(0),
    planeWeight: new Float32Array(0),
  };
}

/** Token ids of the shipped text, or null for a model without a tokenizer that is offered. */
export function profileIds(model: string, description: ModelDescription): number[] | null {
  try {
    const ids = loadTokenizer(model, description)?.encode(profileText) ?? null;
    return ids?.slice(0, Math.min(PROFILE_TOKENS, description.tokensMax)) ?? null;
  } catch (error) {
    if (error instanceof SpecacheError && error.code === "unsupported") return null;
    throw error;
  }
}

const WITHOUT = "without one values take 1 bit instead of a quarter, and lose more";

async function measured(wish: ProfileWish, path: string): Promise<Profile | null> {
  const { model, description, notice, measure } = wish;
  const ids = profileIds(model, description);
  if (ids === null) return null; // no text can be read, and there is nothing to do about it
  notice("Measuring a profile of the model (once; some seconds)");
  const profile = await attempt(() => measure(ids, AUTO_LIMIT_MS), notice);
  if (profile === undefined) return null;
  if (profile === null) {
    const limit = `measuring it takes more than ${AUTO_LIMIT_MS / 1000} s here`;
    notice(`No profile: ${limit}, "specache profile --model ${model}" does it; ${WITHOUT}`);
    return null;
  }
  try {
    writeProfileFile(path, profile, description, metadataOf(profile));
  } catch (error) {
    if (!(error instanceof SpecacheError)) throw error;
    notice(`The profile is not kept: ${error.message}`);
  }
  return profile;
}

// What keeps the model itself from opening will say so when it is opened.
async function attempt<Result>(
  call: () => Promise<Result>,
  notice: (sentence: string) => void,
): Promise<Result | undefined> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof SpecacheError)) throw error;
    notice(`No profile: ${error.message}; ${WITHOUT}`);
  }
}

/** What a file says of how it was made. */
export function metadataOf({ tokens }: MeasuredProfile): Record<string, string> {
  return { tokens: String(tokens) };
}
