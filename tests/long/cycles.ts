// cycles.ts - does a thing 200 times and prints the resident bytes after 20 and after 200: opening
// an engine, generating, aborting and closing; or, for comparison, a worker that does nothing. A
// process of its own, so that its flags keep the runtime's own heap still.
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { needleModel } from "../../eval/source.ts";
import { Engine } from "../../mod.ts";
import { residentBytes, tidy } from "./resident.ts";

const CYCLES = 200;
const WARM_CYCLES = 20;
const READ_CYCLES = 10; // before a reading
const LOOKS = 4;
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

async function workerCycle(): Promise<void> {
  const url = "data:text/javascript,self.onmessage = () => self.postMessage(0)";
  const worker = new Worker(url, { type: "module" });
  await new Promise((answered) => {
    worker.onmessage = answered;
    worker.postMessage(0);
  });
  worker.terminate();
}

const cycle = process.argv[2] === "worker" ? workerCycle : engineCycle;
let least = Infinity; // of ten cycles: what the runtime has not given back yet comes and goes
for (let done = 1; done <= CYCLES; done++) {
  await cycle();
  tidy();
  const next = [WARM_CYCLES, CYCLES].find((reading) => done <= reading)!;
  if (next - done >= READ_CYCLES) continue;
  for (let look = 0; look < LOOKS; look++) { // a worker goes when its thread gets to it
    await setTimeout(LOOK_MS);
    tidy();
    least = Math.min(least, residentBytes());
  }
  if (done !== next) continue;
  console.log(`resident after ${done}: ${least}`);
  least = Infinity;
}
