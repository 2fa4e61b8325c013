// scan.ts - scan and top-k of one query: 1,024 of 131,072 codes of dimension 128, ours against
// faiss. All do it over random vectors; recall is of the 1,024 largest true products.
import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { SpecacheError } from "../../../engine/errors.ts";
import { compileObjects } from "../../../ffi/build.ts";
import { findCompiler } from "../../../ffi/compiler.ts";
import { cacheHome } from "../../../ffi/home.ts";
import { buildFolder, nativeFolder } from "../../../ffi/library.ts";
import {
  interleave,
  type Ratio,
  ratioOf,
  type Rounds,
  type Side,
  type Times,
} from "./interleave.ts";
import { Rival } from "./rival.ts";

const TOKENS = 131_072;
const K = 1024;
const KEY_BYTES = 35; // of a token at 2 bits: 32, and its share of centre and scales
const KINDS: readonly { kind: string; name: string }[] = [
  { kind: "flat-128", name: "IndexBinaryFlat, 128 bits" },
  { kind: "flat-256", name: "IndexBinaryFlat, 256 bits" },
  { kind: "flat-256-counts", name: "the same, counting" },
  { kind: "pq", name: "IndexPQFastScan, 64x4 bits" },
  { kind: "rabitq", name: "IndexRaBitQFastScan" },
];

/** What one side took, and of each side but ours how many times ours at 2 bits that is. */
export interface ScanRow extends Times {
  readonly recall: number;
  readonly ratio: Ratio;
}

/** How to measure. */
export interface ScanOptions extends Rounds {
  readonly threads: number;
  /** Each side walks over so many bytes of codes, about. */
  readonly cycleBytes: number;
  readonly python: string;
  /** Folder of the scripts. */
  readonly folder: string;
}

/** Measures all. */
export async function scans(options: ScanOptions): Promise<ScanRow[]> {
  const { threads } = options;
  const program = await buildProgram(options.folder);
  const copies = Math.max(2, Math.ceil(options.cycleBytes / (TOKENS * KEY_BYTES)));
  const counts = [threads, TOKENS, K, copies].map(String);
  using two = new Rival(program, [...counts, "2"], threads);
  using one = new Rival(program, [...counts, "1"], threads);
  using faiss = new Rival(
    options.python,
    [join(options.folder, "faiss_scan.py"), ...counts],
    threads,
  );
  const recalls: number[] = [];
  const ours = async (name: string, rival: Rival): Promise<Side> => {
    recalls.push((await rival.ask<{ recall: number }>(1)).recall);
    return { name, turn: async (passes) => (await rival.ask<{ ms: number }>(passes)).ms };
  };
  const sides = [await ours("ours, 2-bit keys", two), await ours("ours, 1-bit keys", one)];
  for (const { kind, name } of KINDS) {
    recalls.push((await faiss.ask<{ recall: number }>({ do: kind })).recall);
    sides.push({
      name,
      turn: async (passes) => (await faiss.ask<{ ms: number }>({ do: kind, passes })).ms,
    });
  }
  const times = await interleave(sides, options);
  return times.map((side, at) => ({
    ...side,
    recall: recalls[at],
    ratio: ratioOf(side.ms, times[0].ms),
  }));
}

// scan.cpp linked with the library's objects, in the cache folder.
async function buildProgram(folder: string): Promise<string> {
  const native = nativeFolder();
  const objects = await compileObjects({ native, output: buildFolder() });
  const compiler = await findCompiler();
  if (compiler === null) throw new SpecacheError("unsupported", "Cannot build: no C++ compiler");
  const output = join(cacheHome(), "peers-speed-scan");
  await mkdir(output, { recursive: true });
  const program = join(output, "scan");
  const flags = ["-std=c++20", "-O3", "-Wno-psabi", "-I", native];
  await promisify(execFile)(compiler.command, [
    ...[...flags, join(folder, "scan.cpp"), ...objects.keys()],
    ...["-pthread", "-o", program],
  ]);
  return program;
}
