// fields.ts - fields that requests of OpenAI's API share, and what they ask of a generation. Names
// are OpenAI's; those of the last group are ours.
import { z } from "zod";
import { kOfStep, type Late, late, type Mode, TOKENS_MAX } from "../engine/config.ts";
import { type GenerateOptions, generateOptions, STOPS_MAX } from "../engine/config_generate.ts";
import { SpecacheError } from "../engine/errors.ts";
import { parse } from "../engine/parse.ts";

/** What the routes do, in sentences of errors. */
export const ACTION = "answer";

/** Answers to one prompt at most. */
export const CHOICES_MAX = 8;

/** How tokens are drawn; null is as if left out. */
export interface SamplingFields {
  readonly temperature?: number | null;
  readonly top_p?: number | null;
  readonly presence_penalty?: number | null;
  readonly frequency_penalty?: number | null;
  readonly seed?: number | null;
  readonly stop?: string | readonly string[] | null;
  readonly top_k?: number | null;
  readonly min_p?: number | null;
  readonly repetition_penalty?: number | null;
  readonly mode?: Mode | null;
  readonly k?: number | null;
  readonly late?: Late | null;
  readonly guesses?: GenerateOptions["guesses"] | null;
  readonly accept?: GenerateOptions["accept"] | null;
}

/** Whether, and how, the answer is streamed. */
export interface StreamFields {
  readonly stream?: boolean | null;
  readonly stream_options?: { readonly include_usage?: boolean | null } | null;
}

/** A field that has no use here, whatever it holds. */
export const ignored: z.ZodOptional<z.ZodUnknown> = z.unknown().optional();

/**
 * A field whose every value but these, which ask for nothing, is refused: an answer that leaves out
 * what was asked for would be taken for one that has it.
 */
export function unsupported(nothing: readonly unknown[]): z.ZodType<unknown> {
  const same = (value: unknown) => nothing.some((each) => JSON.stringify(each) === value);
  return z.custom((value) => value === undefined || same(JSON.stringify(value)), {
    error: "is not supported",
  }).optional();
}

/** Checks a count of tokens to generate. */
export const maxTokens: z.ZodType<number | null | undefined> = z.int().min(1).max(TOKENS_MAX)
  .nullish();

/** Checks a count of answers. */
export const choices: z.ZodType<number | null | undefined> = z.int().min(1).max(CHOICES_MAX)
  .nullish();

/** Check {@linkcode SamplingFields}. */
export const samplingFields = {
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  seed: z.int().min(0).nullish(),
  stop: z.union([z.string().min(1), z.array(z.string().min(1)).max(STOPS_MAX)], {
    error: `is neither a text nor a list of at most ${STOPS_MAX} texts`,
  }).nullish(),
  top_k: z.int().min(0).max(2 ** 32 - 1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().min(0.01).max(100).nullish(),
  mode: z.enum(["full", "paper", "specache"]).nullish(),
  k: kOfStep.nullish(),
  late: late.nullish(),
  guesses: z.literal(["auto", 0, 1, 2, 3]).nullish(),
  accept: z.enum(["auto", "on", "off"]).nullish(),
};

/** Check {@linkcode StreamFields}. */
export const streamFields = {
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({
    include_usage: z.boolean().nullish(),
    include_obfuscation: ignored,
  }).nullish(),
};

/** What tells a server about the caller. */
export const callerFields = {
  user: ignored,
  metadata: ignored,
  store: ignored,
  service_tier: ignored,
  safety_identifier: ignored,
  prompt_cache_key: ignored,
};

/** Options of a generation, without its prompt and its length. OpenAI's defaults hold. */
export function samplingOf(
  request: SamplingFields,
  more: GenerateOptions = {},
): GenerateOptions & { readonly seed: number } {
  const options = {
    temperature: request.temperature ?? 1,
    topK: request.top_k,
    topP: request.top_p,
    minP: request.min_p,
    repetitionPenalty: request.repetition_penalty,
    presencePenalty: request.presence_penalty,
    frequencyPenalty: request.frequency_penalty,
    seed: request.seed ?? crypto.getRandomValues(new Uint32Array(1))[0],
    stop: request.stop,
    mode: request.mode,
    k: request.k,
    late: request.late,
    guesses: request.guesses,
    accept: request.accept,
    ...more,
  };
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => isGiven(value)));
  return { ...parse(generateOptions, given, ACTION), seed: options.seed };
}

/** The seed of the answer at `index`, where the first has `seed`. */
export function seedOf(seed: number, index: number): number {
  const left = Number.MAX_SAFE_INTEGER - seed;
  return index <= left ? seed + index : index - left - 1;
}

/** Refuses what has no use without streaming. */
export function checkStream({ stream, stream_options }: StreamFields): void {
  if (isGiven(stream_options) && !stream) {
    throw refused("stream_options", "is given without stream");
  }
}

/** Whether a field is there; null is as if left out. */
export function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** The error that refuses a field. */
export function refused(name: string, sentence: string): SpecacheError {
  return new SpecacheError("argument", `Cannot ${ACTION}: ${name} ${sentence}`, {
    details: { name },
  });
}
