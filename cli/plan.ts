// plan.ts - `specache plan`: bytes of a cache, part by part, before anything is allocated.
import { type CacheOptions, engineOptions, kvStoreOptions } from "../engine/config.ts";
import { generateOptions } from "../engine/config_generate.ts";
import { SpecacheError } from "../engine/errors.ts";
import { describeModel } from "../engine/model/describe.ts";
import type { StoreShape } from "../engine/native.ts";
import { parse } from "../engine/parse.ts";
import { type CachePlan, planCache } from "../engine/plan.ts";
import { type Profile, readProfile } from "../engine/profile.ts";
import { profileIds, profileSizes, usesProfile } from "../engine/profile_auto.ts";
import { settle } from "../engine/settings.ts";
import { ensureLibrary } from "./library.ts";
import {
  cacheFlags,
  cacheOptions,
  type Flags,
  generateOptionsOf,
  number,
  readFlags,
} from "./options.ts";
import { bytesText, type Streams } from "./output.ts";

const text = { type: "string" } as const;

/** Flags of the command. */
export const planFlags = {
  ...cacheFlags,
  model: text,
  layers: text,
  "kv-heads": text,
  "query-heads": text,
  "head-dim": text,
  tokens: text,
} as const;

/** Help of the command. */
export const planHelp = `specache plan - bytes of a cache before anything is allocated

  --model PATH | --layers N --kv-heads N --query-heads N --head-dim N
  --tokens N             tokens held, and longest sequence
  --profile auto         with sizes alone: as if a profile of the model had been measured
  --mode, --rule, --setting, --k, --key-bits, --value-bits, --profile, --group, --slots,
  --guesses, --kv-type, --far, --far-bytes, --near, --threads, --device,
  --prefetch, --audit, --audit-seed, --audit-warn, --json, --verbose, --help
                         as for generate

  specache plan --layers 32 --kv-heads 8 --query-heads 32 --head-dim 128 --tokens 32768
`;

/** Runs the command. */
export async function plan(
  args: readonly string[],
  { stdout, stderr }: Streams,
): Promise<void> {
  const flags = readFlags("plan", args, planFlags);
  if (flags.help) {
    stdout.write(planHelp);
    return;
  }
  const tokens = number(flags, "tokens");
  if (tokens === undefined) throw new SpecacheError("argument", "Cannot plan: --tokens is missing");
  parse(generateOptions, generateOptionsOf(flags), "plan");
  await ensureLibrary(stderr);
  const { shape, cache } = planOf(flags, tokens);
  stdout.write(flags.json ? JSON.stringify({ model: shape, cache }) + "\n" : table(cache));
}

function planOf(flags: Flags, tokens: number): { shape: StoreShape; cache: CachePlan } {
  const options = { ...cacheOptions(flags), contextTokens: tokens };
  const shape = shapeOf(flags, options);
  const profile = profileOf(flags, options, shape);
  const parts = profile && { keys: profile.keyBits !== null, values: profile.valueBasis !== null };
  const settings = settle(options, tokens, parts, "plan");
  return { shape, cache: planCache(settings, shape, profile, tokens) };
}

// A plan needs a profile's sizes alone, and those follow from the shape: none has to be measured.
function profileOf(flags: Flags, options: CacheOptions, shape: StoreShape): Profile | null {
  const { profile = flags.model === undefined ? "none" : "auto" } = options;
  if (profile !== "none" && profile !== "auto") return readProfile(profile, shape);
  if (profile === "none" || !usesProfile(options)) return null;
  if (flags.model !== undefined) {
    const model = String(flags.model);
    if (profileIds(model, describeModel(model)) === null) return null;
  }
  return profileSizes(shape);
}

const sizes = {
  layers: "layers",
  kvHeads: "kv-heads",
  queryHeads: "query-heads",
  headDim: "head-dim",
};

// Judges the cache's options too, since they are judged along with the model or the sizes.
function shapeOf(flags: Flags, options: CacheOptions): StoreShape {
  if (flags.model === undefined) {
    const given = Object.entries(sizes).map(([size, name]) => [size, number(flags, name)]);
    const { layers, kvHeads, queryHeads, headDim } = parse(kvStoreOptions, {
      ...Object.fromEntries(given),
      ...options,
    }, "plan");
    return { layers, kvHeads, queryHeads, headDim };
  }
  const size = Object.values(sizes).find((name) => flags[name] !== undefined);
  if (size !== undefined) {
    throw new SpecacheError(
      "argument",
      `Cannot plan: --${size} ${flags[size]} is given beside --model ${flags.model}`,
    );
  }
  const { model } = parse(engineOptions, { model: flags.model, ...options }, "plan");
  const { layers, kvHeads, queryHeads, headDim } = describeModel(model);
  return { layers, kvHeads, queryHeads, headDim };
}

function table({ parts, ...cache }: CachePlan): string {
  const rows: [string, number][] = [
    ...Object.entries(parts).filter(([name]) => name !== "work" && name !== "profile"),
    ["near, one sequence", cache.nearBytes],
    ["far, reserved", cache.farBytes],
    ["16-bit cache", cache.fullBytes],
    ["work", parts.work],
    ["profile", parts.profile],
    ["near, reserved", cache.reservedBytes],
  ];
  const lines = rows.map(([name, bytes]) => `${name.padEnd(20)}${bytesText(bytes).padStart(12)}`);
  return [...lines, `${"ratio".padEnd(20)}${cache.ratio.toFixed(4).padStart(12)}`, ""].join("\n");
}
