import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NativeStore, optionsOf } from "../../engine/native.ts";
import { settle } from "../../engine/settings.ts";
import { noGuesses } from "../../engine/stats.ts";
import { SpecacheError } from "../../mod.ts";
import { assert, assertEquals, assertThrows, test } from "../harness.ts";

const SHAPE = { layers: 2, kvHeads: 2, queryHeads: 4, headDim: 64 };
const ROW_BYTES = 2 * SHAPE.headDim * 2;

/** A store of 2,000 random tokens, all but the newest in far memory. */
function filled(far: "ram" | { file: string }): { native: NativeStore; sequence: bigint } {
  const settings = settle({ k: 32, far, slots: 0 }, 2048, null, "open a store");
  const native = NativeStore.open(settings, SHAPE, null, "open a store");
  const sequence = native.openSequence();
  native.fill(sequence, 2000, 1);
  return { native, sequence };
}

function step({ native, sequence }: ReturnType<typeof filled>): void {
  const { library, id } = native;
  const options = optionsOf({ k: 32, late: "all" });
  library.check("begin", library.symbols.specache_begin(id, sequence, 1, 1, options));
  const queries = Float32Array.from({ length: 4 * 64 }, (_, i) => Math.sin(i));
  const row = queries.slice(0, 2 * 64);
  for (let layer = 0; layer < SHAPE.layers; layer++) {
    const outputs = new Float32Array(queries.length);
    const { specache_attend } = library.symbols;
    const status = specache_attend(id, sequence, layer, queries, row, row, outputs);
    library.check("attend", status);
  }
  native.keep(sequence, 1);
}

test("a far file tells how it is read and counts reads; in RAM there are none", async () => {
  const folder = await mkdtemp(join(tmpdir(), "specache-"));
  try {
    const file = filled({ file: join(folder, "far") });
    assertEquals(await readdir(folder), []); // removed as soon as it is open
    assertEquals(file.native.farAccess().reads, 0);
    step(file);
    const { direct, ring, alignment, readsMost, reads, bytes } = file.native.farAccess();
    const { lateRows } = file.native.stats(file.sequence, noGuesses());
    assertEquals(lateRows, 32 * SHAPE.layers * SHAPE.kvHeads);
    assert(reads > 0 && reads <= lateRows, `${reads} reads`); // neighbours are one
    assert(bytes >= lateRows * ROW_BYTES, `${bytes} bytes`);
    assert(direct ? alignment > 1 && bytes % alignment === 0 : alignment === 1);
    assertEquals(readsMost, ring ? 64 : 16);
    assert(file.native.farReads(100, 4096, 1) > 0);
    assert(file.native.farAccess().reads > reads);
    file.native.close();

    const ram = filled("ram");
    step(ram);
    const none = { direct: false, ring: false, alignment: 0, readsMost: 0, reads: 0, bytes: 0 };
    assertEquals(ram.native.farAccess(), none);
    assertThrows(
      () => ram.native.farReads(1, 512, 1),
      SpecacheError,
      "Cannot read the far file: the store has no far file",
    );
    ram.native.close();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
