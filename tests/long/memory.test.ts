// Resident memory: that opening and closing leaves nothing behind, and that a far file takes the
// 16-bit cache out of RAM.
import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assert, test } from "../harness.ts";

// V8's young generation and malloc's arenas grow by their own rules for hundreds of cycles, so
// they are held still; in Bun cycles.ts drops the machine code. What a worker leaves that does
// nothing is the runtime's too.
const STILL = "Deno" in globalThis
  ? ["run", "-A", "--no-check", "--v8-flags=--expose-gc,--max-semi-space-size=1"]
  : [];

// Resident bytes after 20 and after 200 cycles.
function residentOf(what: "engine" | "worker"): [number, number] {
  const script = fileURLToPath(new URL("cycles.ts", import.meta.url));
  const { stdout, stderr } = spawnSync(process.execPath, [...STILL, script, what], {
    encoding: "utf8",
    env: { ...process.env, MALLOC_ARENA_MAX: "1" },
  });
  const [warm, after] = [...stdout.matchAll(/: (\d+)$/gm)].map(([, bytes]) => Number(bytes));
  assert(after !== undefined, stderr);
  console.log(`  ${what}: ${warm} bytes after 20 cycles, ${after} after 200`);
  return [warm, after];
}

test("200 cycles of open, generate, abort, close leave 1 % beside idle workers at most", () => {
  const [idleWarm, idleAfter] = residentOf("worker");
  const [warm, after] = residentOf("engine");
  const limit = warm * 1.01 + Math.max(0, idleAfter - idleWarm);
  assert(after <= limit, `${after} bytes are above ${limit}`);
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
