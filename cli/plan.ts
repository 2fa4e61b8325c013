// plan.ts - `specache plan`: bytes of a cache, part by part, before anything is reserved; what fits
// a budget, and how long a step and a prefill take here.
import { z } from "zod";
import { type CacheOptions, engineOptions, kvStoreOptions, TOKENS_MAX } from "../engine/config.ts";
import { generateOptions } from "../engine/config_generate.ts";
import { SpecacheError } from "../engine/errors.ts";
import { budgets, longestFit } from "../engine/fit.ts";
import { checkLength, describeModel, type ModelDescription } from "../engine/model/describe.ts";
import { tensorTypes } from "../engine/model/roles.ts";
import type { StoreShape } from "../engine/native_config.ts";
import { parse } from "../engine/parse.ts";
import { planCache } from "../engine/plan.ts";
import { measure, type PlannedWeights, predict } from "../engine/predict/predict.ts";
import { type Profile, readProfile } from "../engine/profile.ts";
import { profileIds, profileSizes, usesProfile } from "../engine/profile_auto.ts";
import { settle, settleRequest } from "../engine/settings.ts";
import { hasGpu } from "./doctor/machine.ts";
import { ensureLibrary } from "./library.ts";
import {
  cacheFlags,
  cacheOptions,
  type Flags,
  generateOptionsOf,
  number,
  readFlags,
} from "./options.ts";
import type { Streams } from "./output.ts";
import { changesOf } from "./plan/changes.ts";
import type { Fit, Plan, Planned, Prediction } from "./plan/plan.ts";
import { planText } from "./plan/text.ts";
import { sentenceOf } from "./words.ts";

const ACTION = "plan";
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
  "weights-bytes": text,
  "weights-type": text,
  "no-measure": { type: "boolean" },
} as const;

/** Help of the command. */
export const planHelp = `specache plan - bytes of a cache before anything is reserved, and times

  --model PATH | --layers N --kv-heads N --query-heads N --head-dim N
  --tokens N             tokens held, and longest sequence
  --weights-bytes N      with sizes alone: weights that a step reads; without it times are the
                         cache's alone
  --weights-type T       their type: bf16 (default), f16, f32, q8_0, q4_0, q4_1, q4_k,
                         q5_k, q6_k
  --no-measure           predicts no times. Else some steps are run here, a second or so
  --near B --far-bytes B budgets: tells the longest text that fits them, and what to change
  --profile auto         with sizes alone: as if a profile of the model had been measured
  --mode, --rule, --setting, --k, --key-bits, --value-bits, --profile, --group, --slots,
  --guesses, --kv-type, --far, --threads, --device,
  --prefetch, --audit, --audit-seed, --audit-warn, --json, --verbose, --help
                         as for generate

  specache plan --model models/needle --tokens 8192
  specache plan --layers 32 --kv-heads 8 --query-heads 32 --head-dim 128 --tokens 32768
  specache plan --layers 32 --kv-heads 8 --query-heads 32 --head-dim 128 --tokens 131072 \\
    --near 1000000000 --far-bytes 8000000000 --no-measure
`;

/** Runs the command. */
export async function plan(
  args: readonly string[],
  { stdout, stderr }: Streams,
): Promise<void> {
  const flags = readFlags(ACTION, args, planFlags);
  if (flags.help) {
    stdout.write(planHelp);
    return;
  }
  const tokens = number(flags, "tokens");
  if (tokens === undefined) throw new SpecacheError("argument", "Cannot plan: --tokens is missing");
  parse(generateOptions, generateOptionsOf(flags), ACTION);
  // Without a GPU device cuda would have nothing to tell: neither times nor the size of its cache.
  await ensureLibrary(stderr, flags.device === "cuda" && hasGpu() ? "cuda" : "cpu");
  const planned = await planOf(flags, tokens);
  stdout.write(flags.json ? JSON.stringify(planned) + "\n" : planText(planned));
}

async function planOf(flags: Flags, tokens: number): Promise<Plan> {
  const { "far-bytes": farBytes, near, ...rest } = flags;
  const options = { ...cacheOptions(rest), contextTokens: tokens };
  const subject = subjectOf(flags, options);
  if (subject.description !== null) checkLength(tokens, subject.description, ACTION);
  const own = parse(budgets, {
    nearBytes: near === undefined ? undefined : number(flags, "near"),
    farBytes: farBytes === undefined ? undefined : number(flags, "far-bytes"),
  }, ACTION);
  const planAt = (tokens: number, change: CacheOptions = {}): Planned => {
    const changed = { ...options, ...change, contextTokens: tokens };
    const profile = profileOf(flags, changed, subject);
    const parts = profile &&
      { keys: profile.keyBits !== null, values: profile.valueBasis !== null };
    const settings = settle(changed, tokens, parts, ACTION);
    return { settings, profile, cache: planCache(settings, subject.shape, profile, tokens) };
  };
  const planned = planAt(tokens);
  const most = subject.description?.tokensMax ?? TOKENS_MAX;
  const fit: Fit | null = own.nearBytes === undefined && own.farBytes === undefined ? null : {
    ...own,
    longest: longestFit((tokens) => planAt(tokens).cache, own, most),
    inRam: planned.settings.farFile === null,
    changes: changesOf(planAt, tokens, planned, own),
  };
  const weights = weightsOf(flags, subject);
  const { shape, description } = subject;
  return {
    model: shape,
    cache: planned.cache,
    fit: fit && description ? { ...fit, modelTokensMax: description.tokensMax } : fit,
    ...flags["no-measure"]
      ? { predicted: null }
      : await predictionOf(flags, planned, shape, weights),
  };
}

async function predictionOf(
  flags: Flags,
  { settings, profile, cache }: Planned,
  shape: StoreShape,
  weights: PlannedWeights,
): Promise<Pick<Plan, "predicted" | "notPredicted">> {
  const { guesses, k } = settleRequest(generateOptionsOf(flags), settings, ACTION);
  const inputs = 1 + guesses;
  try {
    const task = { settings, shape, profile, tokens: cache.tokens, inputs };
    const measured = await measure(task, weights);
    const predicted: Prediction = {
      ...predict(measured, cache, settings.mode, k),
      inputs,
      threads: measured.threads,
      measuredSeconds: measured.seconds,
    };
    return { predicted };
  } catch (error) {
    // Bytes are as true on a machine that cannot run it.
    if (!(error instanceof SpecacheError)) throw error;
    return { predicted: null, notPredicted: sentenceOf(error, planFlags) };
  }
}

/** What is planned for. */
interface Subject {
  readonly shape: StoreShape;
  readonly description: ModelDescription | null;
}

const weightOptions = z.strictObject({
  weightsBytes: z.int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
  weightsType: z.enum(Object.keys(tensorTypes) as (keyof typeof tensorTypes)[]).optional(),
});

function weightsOf(flags: Flags, { description }: Subject): PlannedWeights {
  const given = {
    weightsBytes: number(flags, "weights-bytes"),
    weightsType: flags["weights-type"],
  };
  const { weightsBytes: bytes, weightsType: type } = parse(weightOptions, given as object, ACTION);
  const refuse = (sentence: string): never => {
    throw new SpecacheError("argument", `Cannot plan: ${sentence}`);
  };
  if (description !== null) {
    if (bytes !== undefined) refuse(`--weights-bytes ${bytes} is given beside --model`);
    if (type !== undefined) refuse(`--weights-type ${type} is given beside --model`);
    return { model: description, path: String(flags.model) };
  }
  if (bytes === undefined && type !== undefined) {
    refuse(`--weights-type ${type} is given without --weights-bytes`);
  }
  return bytes === undefined ? null : { bytes, type: type ?? "bf16" };
}

// A plan needs a profile's sizes alone, and those follow from the shape: none has to be measured.
function profileOf(
  flags: Flags,
  options: CacheOptions,
  { shape, description }: Subject,
): Profile | null {
  const { profile = flags.model === undefined ? "none" : "auto" } = options;
  if (profile !== "none" && profile !== "auto") return readProfile(profile, shape);
  if (profile === "none" || !usesProfile(options)) return null;
  if (description !== null && !readable(String(flags.model), description)) return null;
  return profileSizes(shape);
}

// Asked many times in one plan.
const readableModels = new Map<ModelDescription, boolean>();

function readable(path: string, model: ModelDescription): boolean {
  const known = readableModels.get(model) ?? profileIds(path, model) !== null;
  readableModels.set(model, known);
  return known;
}

const sizes = {
  layers: "layers",
  kvHeads: "kv-heads",
  queryHeads: "query-heads",
  headDim: "head-dim",
};

// Judges the cache's options too, since they are judged along with the model or the sizes.
function subjectOf(flags: Flags, options: CacheOptions): Subject {
  if (flags.model === undefined) {
    const names = Object.values(sizes);
    if (names.every((name) => flags[name] === undefined)) {
      const all = names.map((name) => `--${name}`).join(", ");
      throw new SpecacheError("argument", `Cannot plan: neither --model nor ${all} are given`);
    }
    const given = Object.entries(sizes).map(([size, name]) => [size, number(flags, name)]);
    const { layers, kvHeads, queryHeads, headDim } = parse(kvStoreOptions, {
      ...Object.fromEntries(given),
      ...options,
    }, "plan");
    return { shape: { layers, kvHeads, queryHeads, headDim }, description: null };
  }
  const size = Object.values(sizes).find((name) => flags[name] !== undefined);
  if (size !== undefined) {
    throw new SpecacheError(
      "argument",
      `Cannot plan: --${size} ${flags[size]} is given beside --model ${flags.model}`,
    );
  }
  const { model } = parse(engineOptions, { model: flags.model, ...options }, "plan");
  const description = describeModel(model);
  const { layers, kvHeads, queryHeads, headDim } = description;
  return { shape: { layers, kvHeads, queryHeads, headDim }, description };
}
