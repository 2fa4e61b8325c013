// generate.ts - `specache generate`: streams text, or prints one JSON object.
import process from "node:process";
import { type EngineOptions, engineOptions } from "../engine/config.ts";
import { type GenerateOptions, generateOptions } from "../engine/config_generate.ts";
import type { AuditStats, Estimate } from "../engine/audit.ts";
import { Engine } from "../engine/engine.ts";
import { SpecacheError } from "../engine/errors.ts";
import type { GenerateResult } from "../engine/generation.ts";
import { parse } from "../engine/parse.ts";
import { promptHost, promptOf } from "../engine/prompt.ts";
import { MAX_TOKENS } from "../engine/settings.ts";
import { ensureLibrary } from "./library.ts";
import {
  answerFlags,
  cacheFlags,
  engineOptionsOf,
  generateOptionsOf,
  promptFlags,
  readFlags,
} from "./options.ts";
import { bytesText, harmless, progressBar, type Streams } from "./output.ts";

const ACTION = "generate";
const text = { type: "string" } as const;

/** Flags of the command. */
export const generateFlags = {
  ...cacheFlags,
  ...answerFlags,
  prompt: text,
  "prompt-file": text,
  "ids-file": text,
  chat: { type: "boolean" },
  logprobs: text,
} as const;

/** Help of the command. */
export const generateHelp = `specache generate - continue a text with a model's offloaded cache

  --model PATH           folder of a Hugging Face model, GGUF file, or name of a pulled model
  --prompt S | --prompt-file F | --ids-file F.json
  --chat                 the prompt is a user's turn, which the model's chat template writes
  --system S             what comes before it  --chat-template F  another template (Jinja)
  --max-tokens N         default 128
  --context N            longest sequence; default prompt + max-tokens
  --temperature T        default 0; --seed N
  --top-k N  --top-p P  --min-p P
  --repetition-penalty R  --presence-penalty P  --frequency-penalty P
  --stop S               ends the text before S; may be given again
  --mode full|paper|specache  --rule rotated|paper
  --k K                  exact pairs a step; default 256 (paper: 64)
  --setting default|compact  --profile auto|none|FILE
  --key-bits 1|2  --value-bits 1|2  --group 32|64
  --slots S  --guesses auto|0..3  --late all|none|P  --accept auto|on|off
  --kv-type bf16|f16|f32
  --far ram|FILE  --far-bytes B  --near BYTES
  --threads N  --logprobs N
  --device auto|cpu|cuda  --prefetch read|gather
  --prefill exact|fast   fast: a prompt's matrix products by cuBLAS, on device cuda
  --activations float|int8  int8: quantized weights meet inputs of 8 bits in a step, on the CPU
  --audit SHARE          also computes exact attention for a share of the work: what was lost
  --audit-seed N         --audit-warn M: says so where the mean lost mass is above M
  --json                 prints one object
  --verbose              shows where an error came from
  --help

  specache generate --model models/needle --prompt "The code of" --max-tokens 8
  specache generate --model smollm2.gguf --chat --system "Be brief." --prompt "Who are you?"

specache is \`npx -y deno@2 task specache\` in a checkout.
`;

/** Runs the command. */
export async function generate(
  args: readonly string[],
  { stdout, stderr }: Streams,
): Promise<void> {
  const flags = readFlags(ACTION, args, generateFlags);
  if (flags.help) {
    stdout.write(generateHelp);
    return;
  }
  const asked = parse(
    generateOptions,
    { ...promptFlags(flags), ...generateOptionsOf(flags) },
    ACTION,
  );
  if (asked.logprobs !== undefined && !flags.json) {
    const sentence = `--logprobs ${asked.logprobs} is given without --json, which alone shows them`;
    throw new SpecacheError("argument", `Cannot ${ACTION}: ${sentence}`);
  }
  const options = parse(engineOptions, engineOptionsOf(flags), ACTION);
  await ensureLibrary(stderr, options.device);
  const contextTokens = options.contextTokens ?? contextOf(options, asked);
  const notice = (sentence: string) => void stderr.write(`${sentence}\n`);
  await using engine = await Engine.open({ ...options, contextTokens, notice });
  using interrupt = onInterrupt();
  const progress = progressBar("prefill", stderr);
  const run = engine.generate({ ...asked, signal: interrupt.signal, progress });
  if (!flags.json) {
    for await (const { text } of run) stdout.write(stdout.isTTY ? harmless(text) : text);
    stdout.write("\n");
  }
  const result = await run.result;
  if (flags.json) stdout.write(JSON.stringify(result) + "\n");
  else stderr.write(summary(result) + "\n");
  if (result.cache.audit && !flags.json) stderr.write(`${auditText(result.cache.audit)}\n`);
  if (result.cache.audit?.warning) {
    stderr.write(`${warningOf(result.cache.audit)} ${flags["audit-warn"]}\n`);
  }
}

// Prompt and answer; at least one token.
function contextOf(options: EngineOptions, asked: GenerateOptions): number {
  const host = promptHost(options);
  const { tokensMax } = host.description;
  const { length: prompt } = promptOf(host, asked).ids;
  const { maxTokens = MAX_TOKENS } = asked as { maxTokens?: number }; // the flag takes numbers
  if (prompt + maxTokens <= tokensMax) return Math.max(1, prompt + maxTokens);
  throw new SpecacheError(
    "capacity",
    `Cannot ${ACTION}: ${prompt} tokens of the prompt and --max-tokens ${maxTokens} are above ` +
      `the model's ${tokensMax}`,
    { details: { prompt, maxTokens, tokensMax } },
  );
}

// The first Ctrl-C ends the generation, with what it came to; a second one the process.
function onInterrupt(): Disposable & { readonly signal: AbortSignal } {
  const stop = new AbortController();
  const abort = () => stop.abort();
  process.once("SIGINT", abort);
  return { signal: stop.signal, [Symbol.dispose]: () => void process.off("SIGINT", abort) };
}

function auditText({ lostMass, outputDivergence, samples }: AuditStats): string {
  const shown = ({ mean, low, high }: Estimate) =>
    `${mean.toFixed(4)} (95 %: ${low.toFixed(4)} to ${high.toFixed(4)})`;
  const found = lostMass && outputDivergence
    ? `lost mass ${shown(lostMass)}, divergence of outputs ${shown(outputDivergence)}`
    : "too few for a mean";
  return `audited ${samples} times: ${found}`;
}

function warningOf({ lostMass }: AuditStats): string {
  const { mean, low, high } = lostMass!;
  return `Warning: lost mass ${mean.toFixed(4)} (95 %: ${low.toFixed(4)} to ${
    high.toFixed(4)
  }) is above --audit-warn`;
}

function summary({ cache, timing, usage, stop }: GenerateResult): string {
  const cancelled = stop === "cancelled" ? "cancelled: " : "";
  return `${cancelled}${usage.promptTokens} + ${usage.completionTokens} tokens, near ` +
    `${bytesText(cache.nearBytes)} of ${bytesText(cache.fullBytes)} ` +
    `(ratio ${cache.ratio.toFixed(3)}), prefill ${(timing.prefillMs / 1000).toFixed(1)} s, ` +
    `${timing.tokensPerSecond.toFixed(1)} tokens/s`;
}
