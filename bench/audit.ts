// audit.ts - what the online audit adds to a step: one layer of 8 KV heads of 128, 32 query heads,
// bf16, k 256, far memory in RAM and in a file, shares in turn in one run. Beside it stands the
// limit of 1.2 x share x (bytes of exact rows / bytes of a step without an audit).
//   deno task bench:audit [--tokens 8192,32768]
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { planCache } from "../engine/plan.ts";
import { settle } from "../engine/settings.ts";
import { mean } from "../eval/statistics.ts";
import { table } from "../eval/table.ts";
import { ensureLibrary, KvStore } from "../mod.ts";
import { noise, queryWalk, SHAPE } from "./walk.ts";

const K = 256;
const SHARES = [0, 0.01, 0.1, 1];
const STEPS = 400; // timed, of each share in turn: 3,200 draws
const ROW_BYTES = 2 * SHAPE.headDim * 2; // key and value, 16 bits each

const at = process.argv.indexOf("--tokens");
const lengths = at === -1 ? [8_192, 32_768] : process.argv[at + 1].split(",").map(Number);
await ensureLibrary();
const walk = queryWalk();
const rows = [["tokens", "far", "share", "added, of a step", "limit"]];
for (const tokens of lengths) {
  for (const far of ["ram", "file"] as const) {
    const times = timed(tokens, far);
    const settings = settle({ k: K }, tokens, null, "plan a cache");
    const { codes } = planCache(settings, SHAPE, null, tokens).parts;
    const ours = codes + K * SHAPE.kvHeads * ROW_BYTES;
    const exact = tokens * SHAPE.kvHeads * ROW_BYTES;
    for (const [i, share] of SHARES.entries()) {
      if (share === 0) continue;
      // Means: an audit falls on few steps, which a median would not see.
      const added = times[i] / times[0] - 1;
      rows.push([
        ...[`${tokens}`, far, `${share}`, added.toFixed(3)],
        (1.2 * share * exact / ours).toFixed(3),
      ]);
    }
  }
}
console.log(table(rows));

// Mean milliseconds of a step at each share.
function timed(tokens: number, far: "ram" | "file"): number[] {
  const files = SHARES.map((share) =>
    join(tmpdir(), `specache-bench-audit-${process.pid}-${share}`)
  );
  const stores = SHARES.map((audit, i) => {
    const place = far === "file" ? { far: { file: files[i] } } : {};
    return KvStore.open({ ...SHAPE, contextTokens: tokens + STEPS + 64, k: K, audit, ...place });
  });
  try {
    const run = 1024 * SHAPE.kvHeads * SHAPE.headDim;
    for (let done = 0; done < tokens; done += 1024) {
      const rows = { keys: noise(run, 100 + done), values: noise(run, 101 + done) };
      for (const store of stores) store.prefill(0, rows);
    }
    const input = noise(SHAPE.kvHeads * SHAPE.headDim, 99);
    const spent = stores.map((store) => {
      const times: number[] = [];
      return { store, times };
    });
    for (let step = 0; step < STEPS; step++) {
      const queries = walk[step % walk.length];
      for (const { store, times } of spent) {
        const started = performance.now();
        store.begin({ inputs: 1 });
        store.attend(0, { queries, keys: input, values: input });
        store.end({ keep: 1 }); // audits are drawn by position
        times.push(performance.now() - started);
      }
    }
    return spent.map(({ times }) => mean(times));
  } finally {
    for (const store of stores) store.close();
    for (const file of files) rmSync(file, { force: true });
  }
}
