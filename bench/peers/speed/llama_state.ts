// llama_state.ts - a sequence of random rows as a state file of llama.cpp 0.5.0, for flash
// attention with keys and values of 16 bits. llama.cpp holds every size in it against its own.
import { closeSync, openSync, writeSync } from "node:fs";
import { LLAMA_1B } from "./shape_model.ts";

const MAGIC = 0x67677371; // "ggsq"
const VERSION = 3;
const F16 = 1;
const POOL = 1 << 22; // random numbers, used again and again

/** Writes `tokens` random rows of each layer, all in one sequence. */
export function writeLlamaState(path: string, tokens: number): void {
  const { layers, kvHeads, headDim } = LLAMA_1B;
  const rowBytes = kvHeads * headDim * 2;
  const pool = randomHalves();
  const file = openSync(path, "w");
  try {
    const numbers = (...values: number[]) => writeSync(file, Uint32Array.from(values));
    numbers(MAGIC, VERSION, tokens);
    writeSync(file, new Uint32Array(tokens).fill(1)); // ids: what they are does not matter
    numbers(1, tokens); // streams, and cells of the one
    const cells = new Uint32Array(3 * tokens); // position, how many sequences, which
    for (let token = 0; token < tokens; token++) cells.set([token, 1, 0], 3 * token);
    writeAll(file, new Uint8Array(cells.buffer));
    numbers(0, layers); // values are not transposed
    for (let at = 0; at < 2 * layers; at++) { // keys of all layers, then values
      numbers(F16, rowBytes, 0);
      const start = at * 4099 * 2 % pool.length;
      writeRepeated(file, pool, start, tokens * rowBytes);
    }
  } finally {
    closeSync(file);
  }
}

function writeRepeated(file: number, pool: Uint8Array, start: number, bytes: number): void {
  for (let done = 0, from = start; done < bytes; from = 0) {
    const part = pool.subarray(from, from + Math.min(pool.length - from, bytes - done));
    writeAll(file, part);
    done += part.length;
  }
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done);
}

// Halves of standard deviation 1.
function randomHalves(): Uint8Array {
  const halves = new Float16Array(POOL);
  let state = 9;
  const uniform = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  for (let i = 0; i < POOL; i += 2) { // Box and Muller
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    halves[i] = radius * Math.cos(angle);
    halves[i + 1] = radius * Math.sin(angle);
  }
  return new Uint8Array(halves.buffer);
}
