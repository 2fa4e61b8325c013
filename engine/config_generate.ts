// config_generate.ts - the options of one generation, their interface and their zod schema.

import { z } from "zod";
import {
  type Accept,
  type Guesses,
  kOfStep,
  type Late,
  late,
  type Mode,
  TOKENS_MAX,
} from "./config.ts";
import { type Format, format } from "./constrain/format.ts";
import { functionName, type Message, messages, type Tool, tools } from "./conversation.ts";

/** Most alternatives a token that `logprobs` gives. */
export const LOGPROBS_MAX = 100;

/** Most stop strings of a request. */
export const STOPS_MAX = 16;

/** What a text goes on by; at most one of prompt, ids and messages. */
export interface PromptOptions {
  /** Text to go on from; special tokens in it are recognised. */
  readonly prompt?: string;
  /** Token ids to go on from, instead of a prompt; no bos is added. */
  readonly ids?: readonly number[];
  /**
   * The whole conversation, instead of a prompt: the model's chat template makes the prompt of it.
   * What a session holds of its beginning is not read again, what it holds beyond is forgotten.
   */
  readonly messages?: readonly Message[];
  /** What the model may call in answer to messages: its chat template tells it of them. */
  readonly tools?: readonly Tool[];
  /** Only requests of the same salt share what was read of a prompt; default none. */
  readonly salt?: string;
  /** Who asks: requests of several clients take turns, so that none waits for all of another's. */
  readonly client?: string;
  /** Ends it early; the session can go on as if it had not been. */
  readonly signal?: AbortSignal;
  /** Told, during prefill, of prompt tokens done and of all. */
  readonly progress?: (prefilled: number, promptTokens: number) => void;
}

/** Whether a tool must be called: `auto`: it may; `required`: one of them, or the one named. */
export type ToolChoice = "auto" | "required" | { readonly name: string };

/** Options of a session that is opened or forked: it may have to wait for a place. */
export interface SessionOptions {
  /** Who asks: as in {@linkcode PromptOptions}. */
  readonly client?: string;
  /** Gives it up while it waits. */
  readonly signal?: AbortSignal;
}

/** Options of one generation; a signal ends it with stop `cancelled`. */
export interface GenerateOptions extends PromptOptions {
  /** Tokens to generate at most; default 128. `rest`: all that the context has room for. */
  readonly maxTokens?: number | "rest";
  /**
   * 0, the default, takes the most probable token; then topK, topP, minP and seed have no use.
   * Order and formulas of these options are in docs/SAMPLING.md.
   */
  readonly temperature?: number;
  /** Draws from the topK most probable tokens; 0, the default: from all. */
  readonly topK?: number;
  /** Draws from the fewest tokens whose probabilities reach topP, 0 to 1, the default: all. */
  readonly topP?: number;
  /** Draws from tokens at least minP times as probable as the most probable; default 0: all. */
  readonly minP?: number;
  /**
   * Divides logits above 0 of tokens that prompt or answer hold, and multiplies those below, .01
   * to 100; default 1.
   */
  readonly repetitionPenalty?: number;
  /** Taken from the logit of each token that was generated, -2 to 2; default 0. */
  readonly presencePenalty?: number;
  /** Taken from a token's logit as often as it was generated, -2 to 2; default 0. */
  readonly frequencyPenalty?: number;
  /** Of the random numbers, one per position; default 0. */
  readonly seed?: number;
  /** The engine's own mode: another is refused. */
  readonly mode?: Mode;
  /** Exact pairs a step takes; default the engine's k. */
  readonly k?: number;
  /** Default `all` (`paper`: `none`). */
  readonly late?: Late;
  /** Default `auto`. */
  readonly guesses?: Guesses;
  /**
   * Whether guesses that the text itself gives, and that turn out right, are taken as tokens at
   * once: `auto`, the default, where it pays. No token changes by it. `off` in mode `paper`, and
   * where `late` is not `all`: there a guess would err otherwise than a step.
   */
  readonly accept?: Accept;
  /**
   * The text ends before the first of these strings, which may span tokens; special tokens are no
   * text. At most {@linkcode STOPS_MAX}.
   */
  readonly stop?: string | readonly string[];
  /**
   * What the text is held to: one that was not cut by maxTokens is JSON of this kind. It goes with
   * no stop string. No token is drawn but those that the format lets.
   */
  readonly format?: Format;
  /** Whether one of the tools must be called, or which; `auto`, the default: as the model likes. */
  readonly toolChoice?: ToolChoice;
  /** Most probable tokens to give with each token, 0 (default) to {@linkcode LOGPROBS_MAX}. */
  readonly logprobs?: number;
}

const sessionFields = {
  client: z.string().max(1000).optional(),
  signal: z.custom<AbortSignal>((value) => value instanceof AbortSignal, {
    error: "is not an AbortSignal",
  }).optional(),
};

/** Checks {@linkcode SessionOptions}. */
export const sessionOptions: z.ZodType<SessionOptions> = z.strictObject(sessionFields);

const promptFields = {
  ...sessionFields,
  prompt: z.string().optional(),
  ids: z.array(z.int().min(0).max(2 ** 32 - 1)).optional(),
  messages: messages.optional(),
  tools: tools.optional(),
  salt: z.string().max(1000).optional(),
  progress: z.custom<(prefilled: number, promptTokens: number) => void>(
    (value) => typeof value === "function",
    { error: "is not a function" },
  ).optional(),
};

/** Checks {@linkcode PromptOptions}. */
export const promptOptions: z.ZodType<PromptOptions> = z.strictObject(promptFields);

const stopString = z.string().min(1).max(1000).refine((text) => text.isWellFormed(), {
  error: "holds half a character",
});

/** Checks the messages of a conversation. */
export const conversationOptions: z.ZodType<Pick<PromptOptions, "messages" | "tools">> = z
  .strictObject({ messages, tools: tools.optional() });

/** Checks {@linkcode GenerateOptions}. */
export const generateOptions: z.ZodType<GenerateOptions> = z.strictObject({
  ...promptFields,
  maxTokens: z.union([z.int().min(0).max(TOKENS_MAX), z.literal("rest")], {
    error: `is neither a count of tokens up to ${TOKENS_MAX} nor rest`,
  }).optional(),
  temperature: z.number().min(0).max(100).optional(),
  topK: z.int().min(0).max(2 ** 32 - 1).optional(),
  topP: z.number().min(0).max(1).optional(),
  minP: z.number().min(0).max(1).optional(),
  repetitionPenalty: z.number().min(0.01).max(100).optional(),
  presencePenalty: z.number().min(-2).max(2).optional(),
  frequencyPenalty: z.number().min(-2).max(2).optional(),
  seed: z.int().min(0).optional(),
  mode: z.enum(["full", "paper", "specache"]).optional(),
  k: kOfStep.optional(),
  late: late.optional(),
  guesses: z.literal(["auto", 0, 1, 2, 3]).optional(),
  accept: z.enum(["auto", "on", "off"]).optional(),
  stop: z.union([stopString, z.array(stopString).max(STOPS_MAX)], {
    error: `is neither a string nor a list of at most ${STOPS_MAX} strings`,
  }).optional(),
  format: format.optional(),
  toolChoice: z.union([
    z.literal(["auto", "required"]),
    z.strictObject({ name: functionName }),
  ], { error: "is neither auto nor required nor the name of a tool" }).optional(),
  logprobs: z.int().min(0).max(LOGPROBS_MAX).optional(),
});
