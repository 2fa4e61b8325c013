// main.ts - `deno task bench:step`: one layer's attention in a decode step, dense against ours.
import process from "node:process";
import { parseArgs } from "node:util";
import { leastBytes, RandomLayers, type Variant } from "./layers.ts";

const { values } = parseArgs({
  options: {
    json: { type: "boolean" },
    tokens: { type: "string", default: "2048,8192,32768,131072" },
    megabytes: { type: "string", default: "200" }, // of codes, that layers are taken for
    rows: { type: "string", default: "6000" }, // megabytes of rows a store may hold
    isa: { type: "string", default: "best" },
    k: { type: "string", default: "256" },
    variant: { type: "string", default: "default" },
    dense: { type: "boolean" },
    seconds: { type: "string", default: "3" },
  },
});
const isa = values.isa as "best";
const k = Number(values.k);
const VARIANTS: Record<string, Variant> = {
  default: { name: "default", options: { isa } as never, planes: 32 },
  none: { name: "none", options: { isa } as never, planes: 0 },
};
const variant = VARIANTS[values.variant];
const dense: Variant = { name: "full", options: { mode: "full", isa } as never, planes: 0 };
const median = (x: number[]) => x.toSorted((a, b) => a - b)[x.length >> 1];
const least = (x: number[]) => Math.min(...x);
for (const tokens of values.tokens.split(",").map(Number)) {
  const bytes = leastBytes(variant, tokens, k);
  const rowBytes = tokens * 8 * 512;
  const layers = Math.max(1, Math.min(512, Math.ceil(Number(values.megabytes) * 1e6 / bytes),
    Math.floor(Number(values.rows) * 1e6 / rowBytes)));
  const t0 = performance.now();
  using ours = new RandomLayers(variant, layers, tokens, k);
  const t1 = performance.now();
  using full = values.dense ? new RandomLayers(dense, layers, tokens, k) : null;
  const t2 = performance.now();
  const a: number[] = [], b: number[] = [], s: number[] = [];
  const until = performance.now() + Number(values.seconds) * 1000;
  do {
    a.push(median(ours.step()));
    if (full) { b.push(median(full.step()));
    s.push(full.readSpeed()); } else s.push(1e10);
  } while (performance.now() < until);
  const speed = Math.max(...s);
  const ms = least(a), dms = full ? least(b) : NaN;
  console.log(JSON.stringify({ tokens, layers, rounds: a.length, fillS: (t1 - t0) / 1000, fillDense: (t2-t1)/1000, ms, med: median(a), denseMs: dms, ratio: dms / ms,
    gbs: speed / 1e9, floor: ms / (bytes / speed * 1e3), denseFloor: dms / (rowBytes / speed * 1e3), mbytes: bytes/1e6 }));
}
process.exit(0);
