// plan.ts - `specache plan`: bytes of a cache, part by part, before anything is allocated.
import process from "node:process";
import { engineOptions, kvStoreOptions } from "../engine/config.ts";
import { SpecacheError } from "../engine/errors.ts";
import { describeModel } from "../engine/model/describe.ts";
import type { StoreShape } from "../engine/native.ts";
import { parse } from "../engine/parse.ts";
import { type CachePlan, planCache } from "../engine/plan.ts";
import { readProfile } from "../engine/profile.ts";
import { settle } from "../engine/settings.ts";
import { cacheFlags, cacheOptions, type Flags, number, readFlags } from "./options.ts";
import { bytesText } from "./output.ts";

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
  guesses: text,
} as const;

/** Help of the command. */
export const planHelp = `specache plan - bytes of a cache before anything is allocated

  --model PATH | --layers N --kv-heads N --query-heads N --head-dim N
  --tokens N             tokens held, and longest sequence
  --mode, --k, --key-bits, --value-bits, --profile, --group, --slots, --kv-type, --far, --near
                         as for generate
  --json

  specache plan --layers 32 --kv-heads 8 --query-heads 32 --head-dim 128 --tokens 32768
`;

/** Runs the command. */
export function plan(args: readonly string[]): void {
  const flags = readFlags("plan", args, planFlags);
  if (flags.help) {
    process.stdout.write(planHelp);
    return;
  }
  const tokens = number(flags, "tokens");
  if (tokens === undefined) throw new SpecacheError("argument", "Cannot plan: --tokens is missing");
  const { shape, cache } = planOf(flags, tokens);
  if (flags.json) process.stdout.write(JSON.stringify({ model: shape, cache }) + "\n");
  else process.stdout.write(table(cache));
}

function planOf(flags: Flags, tokens: number): { shape: StoreShape; cache: CachePlan } {
  const options = { ...cacheOptions(flags), contextTokens: tokens };
  let shape: StoreShape;
  if (flags.model !== undefined) {
    const model = String(flags.model);
    parse(engineOptions, { model, ...options }, "plan");
    const { layers, kvHeads, queryHeads, headDim } = describeModel(model);
    shape = { layers, kvHeads, queryHeads, headDim };
  } else {
    shape = {
      layers: number(flags, "layers")!,
      kvHeads: number(flags, "kv-heads")!,
      queryHeads: number(flags, "query-heads")!,
      headDim: number(flags, "head-dim")!,
    };
    parse(kvStoreOptions, { ...shape, ...options }, "plan");
  }
  const none = options.profile === undefined || options.profile === "none";
  const profile = none ? null : readProfile(options.profile!, shape);
  const parts = profile && { keys: profile.keyBits !== null, values: profile.valueBasis !== null };
  const settings = settle(options, tokens, parts, "plan");
  return { shape, cache: planCache(settings, shape, profile, tokens) };
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
