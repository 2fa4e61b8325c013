// Resident memory: that opening and closing leaves nothing behind, and that a far file takes the
// 16-bit cache out of RAM.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertGreater, assertLess, test } from "../harness.ts";

// V8's young generation and malloc's arenas grow by their own rules for hundreds of cycles, so
// they are held still; in Bun cycles.ts drops the machine code.
const STILL = "Deno" in globalThis
  ? ["run", "--quiet", "-A", "--no-check", "--v8-flags=--expose-gc,--max-semi-space-size=1"]
  : [];

const CYCLES = 800;
const WARM_CYCLES = 200; // until a runtime has what it keeps
// What an engine was once seen to forget, its library, is 9 to 12 kB in Bun, a request's longer
// prompt 7 kB. Half of 9 is told from the 1 to 2 kB by which one run differs from the next.
const LEFT_BYTES_MAX = 4_500;

type What = "engine" | "library";

// Resident bytes [cycles done, bytes] every 20 cycles.
async function readings(what: What): Promise<[number, number][]> {
  const script = fileURLToPath(new URL("cycles.ts", import.meta.url));
  const child = spawn(process.execPath, [...STILL, script, what, `${CYCLES}`], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, MALLOC_ARENA_MAX: "1" },
  });
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  assertEquals(status, 0, stderr);
  return [...stdout.matchAll(/(\d+): (\d+)$/gm)].map(([, done, bytes]) => [+done, +bytes]);
}

// Bytes that a cycle leaves: the median of what any two readings say of it, so that one before
// which the runtime gave 10 MB back, as Deno does now and then, says nothing.
function leftBytes(what: What, all: readonly [number, number][]): number {
  const warm = all.filter(([done]) => done >= WARM_CYCLES);
  assertGreater(warm.length, 20);
  const slopes = warm.flatMap(([done, bytes], at) =>
    warm.slice(at + 1).map(([later, then]) => (then - bytes) / (later - done))
  );
  const left = slopes.sort((a, b) => a - b)[slopes.length >> 1];
  console.log(
    `  ${what}: ${warm[0][1]} bytes after ${warm[0][0]} cycles, ${warm.at(-1)![1]} after ` +
      `${CYCLES}: ${left.toFixed(0)} a cycle`,
  );
  return left;
}

// What a worker of the same modules leaves that opens nothing is the runtime's.
test("cycles of open, generate, abort, close leave no more than idle workers do", async () => {
  const [engine, idle] = await Promise.all([readings("engine"), readings("library")]);
  const left = leftBytes("engine", engine) - Math.max(0, leftBytes("library", idle));
  assertLess(left, LEFT_BYTES_MAX, `bytes a cycle: ${engine}`);
});

const SHAPE = { layers: 2, kvHeads: 8, queryHeads: 8, headDim: 128 };
const TOKENS = 32_768;
const FULL_BYTES = TOKENS * SHAPE.layers * SHAPE.kvHeads * 2 * SHAPE.headDim * 2;

// Fills a store in a process of its own and answers how much its resident memory grew.
function grownBytes(far: unknown): number {
  const code = `
    import { readFileSync } from "node:fs";
    import { KvStore } from ${JSON.stringify(new URL("../../mod.ts", import.meta.url).href)};
    const resident = () => Number(readFileSync("/proc/self/statm", "utf8").split(" ")[1]) * 4096;
    const run = new Float32Array(512 * 8 * 128).map((_, i) => Math.sin(i));
    const fill = (store, tokens) => {
      for (let done = 0; done < tokens; done += 512) {
        for (let layer = 0; layer < ${SHAPE.layers}; layer++) {
          store.prefill(layer, { keys: run, values: run });
        }
      }
    };
    const shape = ${JSON.stringify(SHAPE)};
    { using small = KvStore.open({ ...shape, contextTokens: 512 }); fill(small, 512); }
    const before = resident();
    using store = KvStore.open({ ...shape, contextTokens: ${TOKENS}, far: ${JSON.stringify(far)} });
    fill(store, ${TOKENS});
    console.log("GROWN", resident() - before);
  `;
  const args = "Deno" in globalThis ? ["eval", "--ext=ts", code] : ["-e", code];
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  const grown = stdout.match(/GROWN (-?\d+)/)?.[1];
  assert(grown !== undefined, stderr);
  return Number(grown);
}

test("a far file keeps the 16-bit cache out of resident memory", async () => {
  const folder = await mkdtemp(join(tmpdir(), "specache-"));
  try {
    const inRam = grownBytes("ram");
    const inFile = grownBytes({ file: join(folder, "far") });
    console.log(
      `  16-bit cache ${FULL_BYTES} bytes; grown with RAM ${inRam}, with a file ${inFile}`,
    );
    assert(inRam >= FULL_BYTES);
    assert(inFile <= FULL_BYTES / 4); // codes .085 to .11, slots and scratch, the runtime's noise
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
