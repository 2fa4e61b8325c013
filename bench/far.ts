// far.ts - `deno task bench:far`: decode steps with far memory in a file against RAM, and against
// what the disk can read. A stack of layers of the Llama-3.2-1B shape with random tokens; a guess
// runs beside the true token and is always right, so its queries are the next step's, which walk as
// those of a model do. Between two layers the weights of a layer are read from RAM, or nothing.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { bytesText } from "../cli/output.ts";
import { NativeStore, optionsOf } from "../engine/native.ts";
import { median } from "../engine/predict/numbers.ts";
import { settle } from "../engine/settings.ts";
import { ensureLibrary } from "../ffi/ensure.ts";
import { noGuesses } from "../engine/stats.ts";
import { shareText, table } from "../eval/table.ts";
import { randomProfile } from "./random_profile.ts";
import { noise, queryWalk, STEPS } from "./walk.ts";

const { values } = parseArgs({
  options: {
    tokens: { type: "string", default: "65536" },
    layers: { type: "string", default: "16" },
    k: { type: "string", default: "256" },
    steps: { type: "string", default: "12" }, // of a round
    rounds: { type: "string", default: "3" },
    weights: { type: "string", default: "1.31" }, // GB of all layers: 1.24 G weights in Q8_0
    folder: { type: "string", default: tmpdir() }, // of the far file
    json: { type: "boolean", default: false },
  },
});
const [tokens, layers, k] = [values.tokens, values.layers, values.k].map(Number);
await ensureLibrary();
const SHAPE = { layers, kvHeads: 8, queryHeads: 32, headDim: 64 };
const DEVIATION = 1.5; // of the logits of random rows
const READS = 16384; // of the disk's own measurement
const walk = queryWalk(SHAPE.queryHeads * SHAPE.headDim).map((each) =>
  each.map((x) => x * DEVIATION)
);

/** A store of random tokens that decodes steps. */
class Stack implements Disposable {
  readonly native: NativeStore;
  readonly sequence: bigint;
  #steps = 0;
  readonly #rows = noise(2 * SHAPE.kvHeads * SHAPE.headDim, 99);
  readonly #outputs = new Float32Array(2 * SHAPE.queryHeads * SHAPE.headDim);

  constructor(far: "ram" | { file: string }) {
    const settings = settle(
      { k, far, guessesMax: 1 },
      tokens + 64,
      { keys: false, values: true },
      "open a bench",
    );
    const profile = randomProfile({ ...SHAPE, planes: SHAPE.headDim / 4 });
    this.native = NativeStore.open(settings, SHAPE, profile, "open a bench");
    this.sequence = this.native.openSequence();
    this.native.fill(this.sequence, tokens, 1);
  }

  /** One step with a guess beside, or without. */
  step(guesses: 0 | 1, betweenLayers: () => void): void {
    const { library, id } = this.native;
    const { specache_begin, specache_attend } = library.symbols;
    const [width, now] = [walk[0].length, this.#steps++ % STEPS];
    const queries = new Float32Array(2 * width);
    queries.set(walk[now]);
    queries.set(walk[now + 1], width);
    const options = optionsOf({ k, late: "all" });
    library.check("begin", specache_begin(id, this.sequence, 1 + guesses, 1, options));
    for (let layer = 0; layer < layers; layer++) {
      const status = specache_attend(
        ...[id, this.sequence, layer, queries, this.#rows, this.#rows, this.#outputs] as const,
      );
      library.check("attend", status);
      betweenLayers();
    }
    this.native.keep(this.sequence, 0);
  }

  /** What it counted so far. */
  counters() {
    const stats = this.native.stats(this.sequence, noGuesses());
    const { prefetchedRows, lateRows, fetch, reusedRows } = stats;
    const { reads, bytes } = this.native.farAccess();
    return { prefetchedRows, lateRows, reusedRows, ...fetch, reads, bytes };
  }

  [Symbol.dispose](): void {
    this.native.close();
  }
}

type Counters = ReturnType<Stack["counters"]>;

/** Reads a layer's share of the weights out of a RAM store's far memory, by all its threads. */
function weightsReader(ram: Stack, gigabytes: number): () => void {
  const [share, held] = [gigabytes * 1e9 / layers, tokens * layers * SHAPE.kvHeads * 256];
  let at = 0;
  return () => {
    for (let left = share; left > 0;) {
      if (at >= held) at = 0;
      const bytes = Math.min(left, held - at);
      ram.native.readFar(at, bytes);
      at += bytes;
      left -= bytes;
    }
  };
}

/** A way to decode, timed in turn with others. */
interface Way {
  readonly name: string;
  readonly stack: Stack;
  readonly guesses: 0 | 1;
  readonly milliseconds: number[];
  readonly sums: Counters;
}

/** Rounds of steps; the first of a round is not counted: its prefetch had the others' time. */
function measure(ways: readonly Way[], betweenLayers: () => void): void {
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const { stack, guesses, milliseconds, sums } of ways) {
      for (let i = 0; i < 2; i++) stack.step(guesses, betweenLayers);
      const before = stack.counters();
      for (let i = 0; i < Number(values.steps); i++) {
        const began = performance.now();
        stack.step(guesses, betweenLayers);
        milliseconds.push(performance.now() - began);
      }
      const after = stack.counters();
      for (const name of Object.keys(sums) as (keyof Counters)[]) {
        sums[name] += after[name] - before[name];
      }
    }
  }
}

/** One row of the result; times are medians, since other programs add to some steps. */
function result(gigabytes: number, way: Way, ram: Way, reads: { second: number }) {
  const { sums, milliseconds } = way;
  const [stepMs, steps] = [median(milliseconds), milliseconds.length];
  const readsSecond = 1000 * sums.reads / steps / stepMs;
  return {
    gigabytes,
    name: way.name,
    stepMs,
    overRam: median(ram.milliseconds) / stepMs,
    hidden: sums.hiddenMs / (sums.hiddenMs + sums.waitedMs),
    late: sums.lateRows / (sums.lateRows + sums.prefetchedRows),
    lateMs: sums.lateMs / steps,
    rows: (sums.lateRows + sums.prefetchedRows) / steps,
    reads: sums.reads / steps,
    readsSecond,
    limit: readsSecond / reads.second,
  };
}

const folder = await mkdtemp(join(values.folder, "specache-"));
try {
  const before = process.memoryUsage.rss();
  using file = new Stack({ file: join(folder, "far") });
  for (let i = 0; i < 2; i++) file.step(1, () => {});
  const grownBytes = process.memoryUsage.rss() - before;
  const { fullBytes } = file.native.stats(file.sequence, noGuesses());
  using ram = new Stack("ram");
  const disk = () =>
    Math.max(...[1, 2, 3].map((seed) => READS / file.native.farReads(READS, 4096, seed)));
  const reads = { second: disk() };
  const access = file.native.farAccess();
  const rows = [0, Number(values.weights)].flatMap((gigabytes) => {
    const way = (name: string, stack: Stack, guesses: 0 | 1): Way => {
      const none = Object.keys(stack.counters()).map((each) => [each, 0]);
      return { name, stack, guesses, milliseconds: [], sums: Object.fromEntries(none) };
    };
    const ways = [
      way("RAM", ram, 0),
      way("RAM, a guess beside", ram, 1),
      way("file", file, 0),
      way("file, a guess beside", file, 1),
    ];
    measure(ways, gigabytes === 0 ? () => {} : weightsReader(ram, gigabytes));
    reads.second = Math.max(reads.second, disk());
    return ways.map((each) => result(gigabytes, each, ways[0], reads));
  });
  const report = {
    tokens,
    layers,
    k,
    access,
    grownBytes,
    fullBytes,
    readsSecond: reads.second,
    rows,
  };
  if (values.json) console.log(JSON.stringify(report));
  else print(report);
} finally {
  await rm(folder, { recursive: true, force: true });
}
process.exit(0); // the library's threads are of no use any more

function print({ access, grownBytes, fullBytes, readsSecond, rows }: {
  grownBytes: number;
  fullBytes: number;
  access: ReturnType<NativeStore["farAccess"]>;
  readsSecond: number;
  rows: readonly ReturnType<typeof result>[];
}): void {
  const how = `${access.ring ? "io_uring" : "threads"}, ${access.readsMost} reads at a time, ` +
    (access.direct ? `O_DIRECT in ${access.alignment} bytes` : "dropped from the page cache");
  console.log(`${tokens} tokens, ${layers} layers of 8 KV heads of 64, k ${k}; ${how}`);
  console.log(
    `resident memory grew by ${bytesText(grownBytes)}; the 16-bit cache is ${bytesText(fullBytes)}`,
  );
  console.log(`the disk: ${Math.round(readsSecond)} random reads of 4 KiB a second`);
  console.log(table([
    [
      "weights read",
      "far",
      "ms a step",
      "of RAM's speed",
      "hidden",
      "late rows",
      "late ms",
      "rows",
      "reads",
      "reads a second",
      "of the disk's",
    ],
    ...rows.map((row) => [
      `${row.gigabytes} GB`,
      row.name,
      row.stepMs.toFixed(1),
      row.overRam.toFixed(2),
      ...row.reads === 0 ? ["", "", "", "", "", "", ""] : [
        Number.isNaN(row.hidden) ? "-" : shareText(row.hidden, 1),
        shareText(row.late, 1),
        row.lateMs.toFixed(1),
        row.rows.toFixed(0),
        row.reads.toFixed(0),
        row.readsSecond.toFixed(0),
        shareText(row.limit, 1),
      ],
    ]),
  ]));
}
