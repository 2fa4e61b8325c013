// generate.ts - `specache generate`: streams text, or prints one JSON object.
import process from "node:process";
import { Engine } from "../engine/engine.ts";
import { describeModel } from "../engine/model/describe.ts";
import { loadTokenizer } from "../engine/model/tokenizer.ts";
import type { GenerateResult } from "../engine/generation.ts";
import { cacheFlags, engineOptionsOf, generateOptionsOf, promptOf, readFlags } from "./options.ts";
import { bytesText, progressBar } from "./output.ts";

const text = { type: "string" } as const;

/** Flags of the command. */
export const generateFlags = {
  ...cacheFlags,
  model: text,
  prompt: text,
  "prompt-file": text,
  "ids-file": text,
  "max-tokens": text,
  context: text,
  temperature: text,
  seed: text,
  guesses: text,
  late: text,
  logprobs: text,
} as const;

/** Help of the command. */
export const generateHelp = `specache generate - continue a text with a model's offloaded cache

  --model PATH           folder of a Hugging Face model, or a GGUF file
  --prompt S | --prompt-file F | --ids-file F.json
  --max-tokens N         default 128
  --context N            longest sequence; default prompt + max-tokens
  --temperature T        default 0; --seed N
  --mode full|paper|specache
  --k K                  exact pairs a step; default 256 (paper: 64)
  --key-bits 1|2  --value-bits 1|2  --profile none|FILE  --group 32|64
  --slots S  --guesses auto|0..3  --late all|none|P
  --kv-type bf16|f16|f32
  --far ram|FILE  --far-bytes B  --near BYTES
  --threads N  --device auto|cpu  --logprobs N  --json

  specache generate --model models/needle --prompt "The code of" --max-tokens 8
`;

/** Runs the command. */
export async function generate(args: readonly string[]): Promise<void> {
  const flags = readFlags("generate", args, generateFlags);
  if (flags.help) {
    process.stdout.write(generateHelp);
    return;
  }
  const asked = { ...promptOf(flags), ...generateOptionsOf(flags) };
  const options = engineOptionsOf(flags, undefined);
  const context = options.contextTokens ?? contextOf(options.model, asked);
  await using engine = await Engine.open({ ...options, contextTokens: context });
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  const bar = progressBar("prefill", process.stderr);
  const run = engine.generate({ ...asked, signal: stop.signal, progress: bar });
  if (!flags.json) {
    for await (const piece of run) process.stdout.write(piece.text);
    process.stdout.write("\n");
  }
  const result = await run.result;
  if (flags.json) process.stdout.write(JSON.stringify(result) + "\n");
  else process.stderr.write(summary(result) + "\n");
}

// Prompt and answer; at least one token, at most what the model was made for.
function contextOf(
  model: string,
  asked: { prompt?: string; ids?: readonly number[]; maxTokens?: number },
) {
  const description = describeModel(model);
  const prompt = asked.ids?.length ??
    loadTokenizer(model, description)?.encode(asked.prompt ?? "").length ?? 0;
  const wanted = prompt + (asked.maxTokens ?? 128);
  return Number.isInteger(wanted) ? Math.max(1, wanted) : undefined;
}

function summary({ cache, timing, usage }: GenerateResult): string {
  return `${usage.promptTokens} + ${usage.completionTokens} tokens, near ` +
    `${bytesText(cache.nearBytes)} of ${bytesText(cache.fullBytes)} ` +
    `(ratio ${cache.ratio.toFixed(3)}), prefill ${(timing.prefillMs / 1000).toFixed(1)} s, ` +
    `${timing.tokensPerSecond.toFixed(1)} tokens/s`;
}
