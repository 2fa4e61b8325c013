// step.bench.ts - one decode step of one layer: 8 KV heads of 128, 32 query heads, bf16. Names say
// what a step must read at the least, so that time and bytes stand side by side.
//   full       every row                                   tokens * 8 heads * 512 B
//   specache   every code, and k rows a head               codes + 8 * 256 * 512 B
//   file       the same with a guess beside the true token, rows prefetched and late from a file
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bytesText } from "../cli/output.ts";
import { planCache } from "../engine/plan.ts";
import { settle } from "../engine/settings.ts";
import { type CacheOptions, KvStore } from "../mod.ts";
import { noise, queryWalk, SHAPE, STEPS } from "./walk.ts";

const ROW_BYTES = 2 * SHAPE.headDim * 2; // key and value, 16 bits each
const K = 256;
const walk = queryWalk();

/** A store of `tokens` random tokens and a function that makes its next step. */
function stepper(tokens: number, guesses: 0 | 1, options: CacheOptions): () => void {
  const store = KvStore.open({ ...SHAPE, contextTokens: tokens + 256, k: K, ...options });
  const run = 1024 * SHAPE.kvHeads * SHAPE.headDim;
  for (let done = 0; done < tokens; done += 1024) {
    store.prefill(0, { keys: noise(run, 100 + done), values: noise(run, 101 + done) });
  }
  const inputs = 1 + guesses;
  const rows = noise(inputs * SHAPE.kvHeads * SHAPE.headDim, 99);
  const queries = walk.slice(0, -1).map((query, step) => {
    const both = new Float32Array(inputs * query.length);
    both.set(query);
    if (guesses > 0) both.set(walk[step + 1], query.length);
    return both;
  });
  let step = 0;
  return () => {
    store.begin({ inputs });
    store.attend(0, { queries: queries[step++ % STEPS], keys: rows, values: rows });
    store.end({ keep: 0 });
  };
}

for (const tokens of [2_048, 8_192, 32_768]) {
  const group = `${tokens / 1024}K`;
  const file = join(tmpdir(), `specache-bench-${tokens}`);
  await rm(file, { force: true });
  const settings = settle({ k: K }, tokens, null, "plan a cache");
  const codeBytes = planCache(settings, SHAPE, null, tokens).parts.codes;
  const rows = SHAPE.kvHeads * ROW_BYTES;
  const least = bytesText(codeBytes + K * rows);
  const full = bytesText(tokens * rows);
  const bench = (name: string, step: () => void, baseline = false) =>
    Deno.bench({ name, group, baseline, fn: step });
  bench(`full ${group}: ${full}`, stepper(tokens, 0, { mode: "full" }), true);
  bench(`specache ${group}: ${least}`, stepper(tokens, 0, {}));
  bench(`specache ${group}, guess, file: ${least}`, stepper(tokens, 1, { far: { file } }));
}
