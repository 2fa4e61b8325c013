// native_config.ts - settings, shape and profile as the structs that the library opens a store by.
import { type ConfigFields, writeProfile } from "../ffi/structs.ts";
import type { Isa, KvType, Mode, Prefetch, Prefill, Rule } from "./config.ts";
import type { Profile } from "./profile.ts";
import type { Settings } from "./settings.ts";

const MODES: readonly Mode[] = ["full", "paper", "specache"];
const RULES: readonly ("own" | Rule)[] = ["own", "paper", "rotated"];
const KV_TYPES: readonly KvType[] = ["f32", "f16", "bf16"];
export const ISAS: readonly ("best" | Isa)[] = [
  ...["best", "reference", "portable", "avx2", "avx512", "neon", "amx"] as const,
];
const DEVICES: readonly Settings["device"][] = ["cpu", "cuda"];
const PREFETCHES: readonly Prefetch[] = ["read", "gather"];
const PREFILLS: readonly Prefill[] = ["exact", "fast"];

/** Sizes that a store is opened for. */
export interface StoreShape {
  readonly layers: number;
  readonly kvHeads: number;
  readonly queryHeads: number;
  readonly headDim: number;
  /** Factor of the logits; left out: 1/sqrt(headDim). */
  readonly scale?: number;
}

/** The fields of specache_config. */
export function configOf(settings: Settings, shape: StoreShape): ConfigFields {
  return {
    layers: shape.layers,
    kvHeads: shape.kvHeads,
    queryHeads: shape.queryHeads,
    headDim: shape.headDim,
    kvType: KV_TYPES.indexOf(settings.kvType),
    scale: shape.scale ?? 0,
    mode: MODES.indexOf(settings.mode),
    rule: RULES.indexOf(settings.rule),
    keyBits: settings.keyBits,
    valueBits: settings.valueBits,
    group: settings.group,
    kMax: settings.kMax,
    slots: settings.slots,
    far: settings.farFile === null ? 0 : 1,
    farBytes: settings.farBytes,
    nearBytes: settings.nearBytes,
    tokensMax: settings.tokensMax,
    sequencesMax: settings.sequencesMax,
    pages: settings.pagesMax,
    chunkTokens: settings.chunkTokens,
    guessesMax: settings.guessesMax,
    threads: settings.threads,
    device: DEVICES.indexOf(settings.device),
    prefetch: PREFETCHES.indexOf(settings.prefetch),
    logitsBytes: 0,
    prefill: PREFILLS.indexOf(settings.prefill),
    isa: ISAS.indexOf(settings.isa),
    audit: settings.audit > 0 ? 1 : 0,
    variant: 0,
  };
}

/** The specache_profile of a profile, or null. */
export function profileStruct(profile: Profile | null): Uint32Array | null {
  if (profile === null) return null;
  return writeProfile({
    valuePlanes: profile.valuePlanes,
    hasKeyBits: profile.keyBits === null ? 0 : 1,
    hasValues: profile.valueBasis === null ? 0 : 1,
  });
}
