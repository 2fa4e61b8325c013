// store_call.ts - what a call of KvStore costs beside the work that it asks for: the crossing into
// the library, the checks of its input, and the array that it answers with. Both runtimes:
//   deno run -A bench/store_call.ts        bun bench/store_call.ts
import os from "node:os";
import process from "node:process";
import { stepInput } from "../engine/config.ts";
import { parse } from "../engine/parse.ts";
import { table } from "../eval/table.ts";
import { sharedLibrary } from "../ffi/library.ts";
import { ensureLibrary, KvStore } from "../mod.ts";
import { noise } from "./walk.ts";

interface Shape {
  readonly layers: number;
  readonly kvHeads: number;
  readonly queryHeads: number;
  readonly headDim: number;
}

const shapes: readonly Shape[] = [
  { layers: 1, kvHeads: 2, queryHeads: 4, headDim: 64 },
  { layers: 1, kvHeads: 8, queryHeads: 32, headDim: 128 },
];
const lengths = [128, 4_096, 32_768]; // tokens held
await ensureLibrary();
const ROUND_MS = 200;
const ROUNDS = 5;
const NO_STORE = 0n; // a handle that is never given: the library looks it up and answers

/**
 * Microseconds a call, or of what of it a call answers in milliseconds: the least of several
 * rounds' means, since other programs only add to it.
 */
function microseconds(call: () => number | void): number {
  const means = Array.from({ length: ROUNDS }, () => {
    let [calls, counted] = [0, 0];
    const started = performance.now();
    let now = started;
    while (now - started < ROUND_MS) {
      for (let i = 0; i < 16; i++) counted += call() ?? NaN;
      calls += 16;
      now = performance.now();
    }
    return 1000 * (Number.isNaN(counted) ? now - started : counted) / calls;
  });
  return Math.min(...means);
}

let kept: Float32Array | null = null; // so that no runtime leaves out what is made and not used

/** Costs of attend() that do not depend on the tokens held. */
function fixedCosts(input: ReturnType<typeof inputOf>) {
  const { queries, keys, values } = input;
  const { symbols } = sharedLibrary();
  const outputs = new Float32Array(queries.length);
  // An empty call, and what six arguments more add to a call that is refused.
  const empty = microseconds(() => void symbols.specache_abi_version());
  const refused = microseconds(() => void symbols.specache_cancel(NO_STORE));
  const refusedLonger = microseconds(() =>
    void symbols.specache_attend(NO_STORE, NO_STORE, 0, queries, keys, values, outputs)
  );
  return {
    crossing: empty + Math.max(0, refusedLonger - refused),
    checks: microseconds(() => void parse(stepInput, input, "attend layer 0")),
    array: microseconds(() => void (kept = new Float32Array(queries.length))),
  };
}

function inputOf({ kvHeads, queryHeads, headDim }: Shape, tokens = 1) {
  const row = noise(kvHeads * headDim, 1);
  const rows = new Float32Array(tokens * row.length);
  for (let at = 0; at < rows.length; at += row.length) rows.set(row, at);
  return { queries: noise(queryHeads * headDim, 2), keys: rows, values: rows };
}

/** Microseconds of attend(), and of begin() and end() together, which have little to do. */
function stepCosts(shape: Shape, tokens: number): { attend: number; around: number } {
  using store = KvStore.open({ ...shape, contextTokens: tokens + 8 });
  const chunk = 128;
  const { keys, values } = inputOf(shape, chunk);
  for (let done = 0; done < tokens; done += chunk) store.prefill(0, { keys, values });
  const input = inputOf(shape);
  const step = () => {
    const begun = performance.now();
    store.begin({ inputs: 1 });
    const started = performance.now();
    store.attend(0, input);
    const attended = performance.now();
    store.end({ keep: 0 });
    return { attend: attended - started, around: performance.now() - attended + started - begun };
  };
  return { attend: microseconds(() => step().attend), around: microseconds(() => step().around) };
}

const rows = shapes.flatMap((shape) => {
  const { crossing, checks, array } = fixedCosts(inputOf(shape));
  return lengths.map((tokens) => {
    const { attend, around } = stepCosts(shape, tokens);
    const beside = crossing + checks + array;
    return [
      `${shape.kvHeads} x ${shape.headDim}, ${shape.queryHeads} queries`,
      tokens.toLocaleString("en"),
      ...[attend, around, crossing, checks, array].map((each) => each.toFixed(2)),
      `${(100 * beside / attend).toFixed(1)} %`,
    ];
  });
});
const runtime = "Bun" in globalThis ? "Bun" : "Deno";
console.log(`${runtime}, ${os.cpus()[0].model}, ${os.cpus().length} cores; microseconds`);
console.log(table([
  ["heads", "tokens", "attend", "begin, end", "crossing", "checks", "array", "beside the work"],
  ...rows,
]));
process.exit(kept === null ? 1 : 0); // the library's threads are of no use any more
