// attention.ts - decode attention of one layer against length: 8 KV heads of 128, 32 query heads,
// one query. PyTorch's SDPA in bf16 and llama.cpp's flash attention in f16 against ours, k 256, far
// in RAM, and against our own mode full.
import type { CacheOptions } from "../../../engine/config.ts";
import { type NativeStore, optionsOf } from "../../../engine/native.ts";
import { SHAPE } from "../../walk.ts";
import {
  interleave,
  type Ratio,
  ratioOf,
  type Rounds,
  type Side,
  type Times,
} from "./interleave.ts";
import { cut, fill, openStore } from "./ours.ts";
import type { Rival } from "./rival.ts";

const K = 256;
const ROW_BYTES = 2 * SHAPE.headDim * 2; // key and value, 16 bits each
const CODES_SHARE = 1 / 12; // of the bytes of the 16-bit rows
const SPREAD = 1.5; // standard deviation of the logits

/** Settings of ours, by name. */
export const settings = {
  default: { options: {}, keyBits: 2 },
  compact: { options: { setting: "compact" }, keyBits: 1 },
  none: { options: {}, keyBits: null }, // no profile
} as const satisfies Record<string, { options: CacheOptions; keyBits: 1 | 2 | null }>;
export type SettingName = keyof typeof settings;

/** All that was measured at one length. */
export interface AttentionRow {
  readonly tokens: number;
  readonly setting: SettingName;
  /** Ours first. */
  readonly times: readonly Times[];
  /** Of each other side over ours. */
  readonly ratios: readonly { readonly name: string; readonly ratio: Ratio }[];
}

/** How to measure. */
export interface AttentionOptions extends Rounds {
  readonly threads: number;
  /** Each side walks over layers that hold at least so many bytes of what it reads. */
  readonly cycleBytes: number;
  readonly torch: Rival;
  readonly llama: Rival;
}

/** Measures one length with one setting of ours. */
export async function attentionAt(
  tokens: number,
  setting: SettingName,
  options: AttentionOptions,
): Promise<AttentionRow> {
  const { torch, llama, cycleBytes } = options;
  const bytes = tokens * SHAPE.kvHeads * ROW_BYTES;
  const copies = Math.max(2, Math.ceil(cycleBytes / bytes));
  for (const rival of [torch, llama]) await rival.ask({ do: "fill", tokens, copies });
  const rivalSide = (name: string, rival: Rival, what: string): Side => ({
    name,
    turn: async (passes) => (await rival.ask<{ ms: number }>({ do: what, passes })).ms,
  });
  const stores: NativeStore[] = [];
  const ours = (name: string, how: CacheOptions, layers: number, keyBits: 1 | 2 | null) => {
    const asked = { ...how, k: K, threads: options.threads };
    const store = openStore(asked, { ...SHAPE, layers }, tokens + 256, keyBits);
    stores.push(store);
    return stepper(name, store, fill(store, tokens));
  };
  const { options: how, keyBits } = settings[setting];
  const read = bytes * CODES_SHARE + K * SHAPE.kvHeads * ROW_BYTES;
  try {
    const times = await interleave([
      ours(`ours, ${setting}`, how, Math.max(2, Math.ceil(cycleBytes / read)), keyBits),
      ours("ours, full", { mode: "full" }, copies, null),
      rivalSide("PyTorch, gqa", torch, "gqa"),
      rivalSide("PyTorch, folded", torch, "folded"),
      rivalSide("llama.cpp", llama, "tokens"),
      rivalSide("llama.cpp, by head", llama, "heads"),
    ], options);
    const first = times[0].ms;
    const ratios = times.slice(1).map(({ name, ms }) => ({ name, ratio: ratioOf(ms, first) }));
    return { tokens, setting, times, ratios };
  } finally {
    for (const store of stores) store.close();
  }
}

// A pass is a step of all layers that keeps nothing; milliseconds of one layer.
function stepper(name: string, store: NativeStore, sequence: bigint): Side {
  const { library, id } = store;
  const { layers, kvHeads, queryHeads, headDim } = store.shape;
  const asked = optionsOf({ k: store.settings.mode === "full" ? 0 : K, late: "all" });
  const rows = cut(1, kvHeads * headDim);
  const outputs = new Float32Array(queryHeads * headDim);
  const queries = Array.from(
    { length: 64 },
    (_, at) => cut(1000 + at, outputs.length).map((x) => SPREAD * x),
  );
  const { specache_begin: begin, specache_attend: attend } = library.symbols;
  let at = 0;
  return {
    name,
    turn(passes) {
      const started = performance.now();
      for (let pass = 0; pass < passes; pass++) {
        library.check("begin a step", begin(id, sequence, 1, 1, asked));
        for (let layer = 0; layer < layers; layer++) {
          const query = queries[at++ % queries.length];
          library.check("attend", attend(id, sequence, layer, query, rows, rows, outputs));
        }
        store.keep(sequence, 0);
      }
      return (performance.now() - started) / passes / layers;
    },
  };
}
