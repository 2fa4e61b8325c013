// plan.ts - every byte of a cache before anything is allocated.
import { planCount, planParts } from "../ffi/constants.ts";
import { sharedLibrary } from "../ffi/library.ts";
import { writeConfig } from "../ffi/structs.ts";
import { configOf, profileStruct, type StoreShape } from "./native_config.ts";
import type { Profile } from "./profile.ts";
import type { Settings } from "./settings.ts";

/** Bytes of a cache that holds `tokens` tokens. */
export interface CachePlan {
  /** Tokens of the sequence. */
  readonly tokens: number;
  /** Of one sequence of these tokens. */
  readonly nearBytes: number;
  /** Reserved far. */
  readonly farBytes: number;
  /** A 16-bit cache of the same tokens. */
  readonly fullBytes: number;
  /** nearBytes / fullBytes. */
  readonly ratio: number;
  /** Near memory that opening reserves: all sequences, free pages, scratch, profile. */
  readonly reservedBytes: number;
  /** Bytes of each part. */
  readonly parts: {
    readonly codes: number;
    readonly rows: number;
    readonly sinks: number;
    readonly window: number;
    readonly slots: number;
    readonly tables: number;
    readonly work: number;
    readonly profile: number;
  };
}

/**
 * Plans a cache.
 *
 * @throws {SpecacheError} argument, capacity: the settings do not fit
 */
export function planCache(
  settings: Settings,
  shape: StoreShape,
  profile: Profile | null,
  tokens: number,
): CachePlan {
  const library = sharedLibrary();
  const bytes = new BigUint64Array(planCount);
  const status = library.symbols.specache_plan(
    writeConfig(configOf(settings, shape)),
    profileStruct(profile),
    profile?.keyBits ?? null,
    tokens,
    bytes,
  );
  library.check("plan a cache", status);
  const part = (name: keyof typeof planParts) => Number(bytes[planParts[name]]);
  const [near, full] = [part("near"), part("full")];
  return {
    tokens,
    nearBytes: near,
    farBytes: part("far"),
    fullBytes: full,
    ratio: full === 0 ? 0 : near / full,
    reservedBytes: part("reserved"),
    parts: {
      codes: part("codes"),
      rows: part("rows"),
      sinks: part("sinks"),
      window: part("window"),
      slots: part("slots"),
      tables: part("tables"),
      work: part("work"),
      profile: part("profile"),
    },
  };
}
