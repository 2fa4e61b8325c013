// shape.ts - a whole decode step of random weights in the shape of Llama-3.2-1B, Q8_0, against
// node-llama-cpp: the same file and threads, caches filled with random rows.
import { rmSync, statSync } from "node:fs";
import { SpecacheError } from "../../../engine/errors.ts";
import { describeModel } from "../../../engine/model/describe.ts";
import { noGuesses } from "../../../engine/stats.ts";
import type { NativeStore } from "../../../engine/native.ts";
import {
  interleave,
  type Ratio,
  ratioOf,
  type Rounds,
  type Side,
  type Times,
} from "./interleave.ts";
import { writeLlamaState } from "./llama_state.ts";
import { fill, openStore, type Ours } from "./ours.ts";
import type { Rival } from "./rival.ts";
import { LLAMA_1B, shapeModel } from "./shape_model.ts";

const K = 256;
const TOKENS = 4; // decoded at a time
const ROOM = 256;

/** What one side took for a token at one length. */
export interface ShapeRow extends Times {
  readonly tokens: number;
  /** That a token must read at the least: weights, and keys and values, or codes and k rows. */
  readonly bytes: number;
  /** The rival's time over this one's. */
  readonly over: Ratio;
}

/** How to measure. */
export interface ShapeOptions extends Rounds {
  readonly threads: number;
  readonly lengths: readonly number[];
  readonly llama: Rival;
}

/** Measures each length. */
export async function shapes(options: ShapeOptions): Promise<ShapeRow[]> {
  const path = await shapeModel();
  const rows: ShapeRow[] = [];
  for (const tokens of options.lengths) {
    console.error(`random weights, ${tokens} tokens`);
    rows.push(...await shapeAt(path, tokens, options));
  }
  return rows;
}

async function shapeAt(path: string, tokens: number, options: ShapeOptions): Promise<ShapeRow[]> {
  const { llama, threads } = options;
  await llama.ask({ do: "open", path, contextTokens: tokens + ROOM });
  const state = `${path}.${tokens}.state`;
  try {
    writeLlamaState(state, tokens);
    const { tokens: loaded } = await llama.ask<{ tokens: number }>({ do: "load", path: state });
    if (loaded !== tokens) {
      const why = `llama.cpp took ${loaded} tokens of a state, not ${tokens}`;
      throw new SpecacheError("data", `Cannot compare speed: ${why}`);
    }
  } finally {
    rmSync(state, { force: true });
  }
  const stores: NativeStore[] = [];
  const weights = statSync(path).size;
  const bytes: number[] = [];
  const ours = (name: string, how: Ours, keyBits: 1 | 2): Side => {
    const description = describeModel(path);
    const store = openStore({ ...how, k: K, threads }, description, tokens + ROOM, keyBits);
    stores.push(store);
    store.loadModel(description);
    const sequence = fill(store, tokens);
    const { nearBytes } = store.stats(sequence, noGuesses());
    bytes.push(weights + nearBytes + rowBytes(K));
    return { name, turn: stepper(store, sequence) };
  };
  try {
    const times = await interleave([
      ours("ours, default", {}, 2),
      ours("ours, default, int8 activations", { activations: "int8" }, 2),
      {
        name: "node-llama-cpp",
        turn: async (passes) =>
          (await llama.ask<{ ms: number }>({ do: "decode", next: 1, tokens: passes * TOKENS })).ms,
      },
    ], options);
    bytes.push(weights + rowBytes(tokens));
    const theirs = times.at(-1)!.ms;
    return times.map((side, at) => (
      { tokens, ...side, bytes: bytes[at], over: ratioOf(theirs, side.ms) }
    ));
  } finally {
    for (const store of stores) store.close();
  }
}

// Of so many rows of each layer and KV head, 16 bits a number.
function rowBytes(tokens: number): number {
  const { layers, kvHeads, headDim } = LLAMA_1B;
  return tokens * layers * kvHeads * headDim * 2 * 2;
}

function stepper(store: NativeStore, sequence: bigint): (passes: number) => number {
  return (passes) => {
    const started = performance.now();
    for (let step = 0; step < passes * TOKENS; step++) {
      store.step(sequence, [1], 1, { k: K, late: "all" }, null);
      store.keep(sequence, 0);
    }
    return (performance.now() - started) / passes / TOKENS;
  };
}
