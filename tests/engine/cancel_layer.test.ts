// A cancel is heard between two layers of a step: fetches are slowed down, so that each layer takes
// long, and a worker cancels when the first one has attended.
import { join } from "node:path";
import { needleModel } from "../../eval/source.ts";
import type { NativeStore } from "../../engine/native.ts";
import { assertEquals, assertLess, test } from "../harness.ts";
import { openModel } from "../parity/run.ts";
import { attendedLayers } from "./canceller.ts";
import { K, promptIds, withFolder } from "./support.ts";

const DELAY_US = 200_000; // of a fetch at most; a layer has one for each of two heads
const EVENTS = 256;
const REQUEST = { k: K, late: "all" } as const;

/** A worker that has loaded the library. */
async function readyWorker(): Promise<Worker> {
  const worker = new Worker(new URL("canceller_worker.ts", import.meta.url), { type: "module" });
  await new Promise((ready) => {
    worker.onmessage = ready;
    worker.postMessage("ready?");
  });
  return worker;
}

function prefilled(file: string): { store: NativeStore; sequence: bigint } {
  const options = { far: { file }, slots: 0, k: K };
  const store = openModel(needleModel, promptIds.length + 8, options);
  const sequence = store.openSequence();
  store.prefill(sequence, promptIds, null);
  return { store, sequence };
}

test("a step that is cancelled in its first layers does not run the others", () =>
  withFolder(async (folder) => {
    const { store, sequence } = prefilled(join(folder, "far"));
    const worker = await readyWorker();
    const { symbols } = store.library;
    const step = () => store.step(sequence, [5], 1, REQUEST, null);
    try {
      const whole = step();
      store.keep(sequence, 0);
      symbols.specache_delay(store.id, 1, DELAY_US);
      symbols.specache_trace_start(store.id, EVENTS);
      worker.postMessage(store.id);
      assertEquals(step(), null);
      const events = new BigUint64Array(4 * EVENTS);
      const count = new Uint32Array(1);
      symbols.specache_trace(store.id, events, EVENTS, count);
      assertLess(attendedLayers(events, count[0]), 4);
      symbols.specache_delay(store.id, 0, 0);
      assertEquals(step(), whole);
    } finally {
      worker.terminate();
      store.close();
    }
  }));
