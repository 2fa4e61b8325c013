// cycles.ts - does a thing again and again, and prints the resident bytes every 20 cycles: opening
// an engine, generating, aborting and closing; or, for comparison, a worker that loads the library
// and closes it. A process of its own, so that its flags keep the runtime's own heap still.
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { needleModel } from "../../eval/source.ts";
import { findLibrary } from "../../ffi/library.ts";
import { Engine } from "../../mod.ts";
import { residentBytes, tidy } from "./resident.ts";

const EVERY_CYCLES = 20;
const READ_CYCLES = 10; // before a reading
const LOOKS = 2;
const LOOK_MS = 50;

const PROMPT = "The code of the river is 12345. The code";
const LONG = "The weather is fine today. ".repeat(60); // 660 tokens: two pieces of prefill

async function engineCycle(): Promise<void> {
  await using engine = await Engine.open({ model: needleModel, contextTokens: 2048, threads: 2 });
  await engine.generate({ prompt: PROMPT, maxTokens: 4 }).result;
  await aborted(engine, PROMPT);
  await aborted(engine, LONG);
}

/** Aborts a generation behind the first piece of its prompt, or, of one piece, its third token. */
async function aborted(engine: Engine, prompt: string): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  const progress = (done: number, of: number) => done < of && controller.abort();
  const run = engine.generate({ prompt, maxTokens: 900, signal, progress });
  let tokens = 0;
  for await (const _ of run) if (++tokens === 3) controller.abort();
  const { stop } = await run.result;
  if (stop !== "cancelled") throw new Error(`not cancelled: ${stop}`);
}

async function libraryCycle(): Promise<void> {
  const worker = new Worker(new URL("library_worker.ts", import.meta.url), { type: "module" });
  await new Promise((closed) => {
    worker.onmessage = closed;
    worker.postMessage(findLibrary());
  });
  worker.terminate();
}

const cycle = process.argv[2] === "library" ? libraryCycle : engineCycle;
const cycles = Number(process.argv[3]);
let least = Infinity; // of ten cycles: what the runtime has not given back yet comes and goes
for (let done = 1; done <= cycles; done++) {
  await cycle();
  tidy();
  if ((cycles - done) % EVERY_CYCLES >= READ_CYCLES) continue;
  for (let look = 0; look < LOOKS; look++) { // a worker goes when its thread gets to it
    await setTimeout(LOOK_MS);
    tidy();
    least = Math.min(least, residentBytes());
  }
  if (done % EVERY_CYCLES !== 0) continue;
  console.log(`resident after ${done}: ${least}`);
  least = Infinity;
}
