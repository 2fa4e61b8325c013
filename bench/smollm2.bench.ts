// smollm2.bench.ts - SmolLM2-135M behind 3,400 tokens of real text: 16 tokens an iteration, so
// tokens a second are 16 times iterations a second. Names say what a token must read at the least:
// the weights, and the cache as in step/layers.ts. A guess shares the reading of the weights.
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bytesText } from "../cli/output.ts";
import { tokenizerOf } from "../eval/source.ts";
import { longText } from "../eval/text.ts";
import { Engine, type EngineOptions } from "../mod.ts";
import { smollm2 } from "../tools/smollm2.ts";

const TOKENS = 3_400;
const STEPS = 16;
const K = 256;

const model = await smollm2();
const ids = tokenizerOf(model).encode(await longText()).slice(0, TOKENS);
const weights = (await Deno.stat(model)).size;

async function bench(name: string, options: Omit<EngineOptions, "model">): Promise<void> {
  const engine = await Engine.open({ model, contextTokens: TOKENS + 64, ...options });
  const session = await engine.session();
  await session.generate({ ids, maxTokens: 0 }).result;
  const { layers, kvHeads, headDim } = engine.model;
  const { parts } = engine.plan(TOKENS);
  const rows = layers * kvHeads * 2 * headDim * 2; // bytes of a token
  const cache = options.mode === "full" ? TOKENS * rows : parts.codes + K * rows;
  Deno.bench({
    name: `${name}: ${bytesText(weights)} of weights, ${bytesText(cache)} of cache`,
    group: "SmolLM2, 16 tokens",
    baseline: options.mode === "full",
    async fn() {
      await session.generate({ ids: [ids[0]], maxTokens: STEPS }).result;
      await session.truncate(TOKENS);
    },
  });
}

const file = join(tmpdir(), "specache-bench-smollm2");
await rm(file, { force: true });
await bench("full", { mode: "full" });
await bench("specache", {});
await bench("specache, guess, file", { far: { file } });
