// measure.ts - the machine in figures: memory, the cache folder's disk, the way into the library.
// Each takes a fraction of a second.
import { execFile } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import type { Library } from "../../ffi/library.ts";
import { workerUrl } from "../../engine/worker_url.ts";
import type { CopyResult, CopyTask } from "./memory_worker.ts";

const run = promisify(execFile);

const COPY_MS = 200;
const COPY_BYTES_ALL = 2 ** 29; // of all threads' sources together: no cache holds it
const COPY_BYTES_MIN = 2 ** 25;

/**
 * Bytes that `threads` threads read and write in a second while each copies a buffer; null where
 * `available` bytes of RAM are too few to measure in.
 */
export async function measureMemory(threads: number, available: number): Promise<number | null> {
  const bytes = Math.max(Math.ceil(COPY_BYTES_ALL / threads), COPY_BYTES_MIN);
  if (2 * bytes * threads > available / 2) return null;
  const workers = Array.from({ length: threads }, () => {
    return new Worker(workerUrl("./memory_worker.ts", import.meta.url), { type: "module" });
  });
  try {
    await Promise.all(workers.map((worker) => answerOf(worker)));
    const results = await Promise.all(workers.map((worker) => {
      const result = answerOf(worker);
      worker.postMessage({ bytes, ms: COPY_MS } satisfies CopyTask);
      return result as Promise<CopyResult>;
    }));
    return results.reduce((sum, { copied, seconds }) => sum + 2 * copied / seconds, 0);
  } finally {
    for (const worker of workers) worker.terminate();
  }
}

function answerOf(worker: Worker): Promise<CopyResult | "ready"> {
  return new Promise((answer, fail) => {
    worker.onmessage = ({ data }: MessageEvent<CopyResult | "ready">) => answer(data);
    worker.onerror = (event) => {
      event.preventDefault();
      fail(new Error(event.message));
    };
  });
}

/** The disk of a folder. */
export interface Disk {
  readonly freeBytes: number;
  /** Of a file that was just written, past the page cache; null where that cannot be read. */
  readonly readBytesPerSecond: number | null;
}

const DISK_BYTES = 2 ** 26;

/** Measures the disk of a folder, which is made; throws the runtime's error where it cannot be. */
export async function measureDisk(folder: string): Promise<Disk> {
  mkdirSync(folder, { recursive: true });
  const { bavail, bsize } = statfsSync(folder);
  const freeBytes = bavail * bsize;
  const path = join(folder, `doctor-${process.pid}`);
  try {
    if (freeBytes < 2 * DISK_BYTES) return { freeBytes, readBytesPerSecond: null };
    const file = openSync(path, "w");
    try {
      const data = randomFillSync(new Uint8Array(DISK_BYTES)); // nothing that a disk can shrink
      for (let at = 0; at < data.length;) at += writeSync(file, data, at);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    return { freeBytes, readBytesPerSecond: await directRead(path) };
  } finally {
    rmSync(path, { force: true });
  }
}

// Neither runtime opens a file past the page cache; dd, which every Linux has, does.
async function directRead(path: string): Promise<number | null> {
  try {
    const args = [`if=${path}`, "of=/dev/null", "bs=4M", "iflag=direct"];
    const { stderr } = await run("dd", args, { env: { ...process.env, LC_ALL: "C" } });
    const [, bytes, seconds] = stderr.match(/^(\d+) bytes .*?, ([\d.e-]+) s/m) ?? [];
    return Number(bytes) === DISK_BYTES ? DISK_BYTES / Number(seconds) : null;
  } catch {
    return null; // no dd, or a file system without direct reads, as tmpfs
  }
}

/** Nanoseconds of one call into the library. */
export interface CallCost {
  /** Without arguments. */
  readonly call: number;
  /** With a buffer and a number. */
  readonly bufferCall: number;
}

const CALLS = 50_000;
const ROUNDS = 7; // the first ones run before the call is compiled

/** Measures calls that do nothing. */
export function measureCalls({ symbols }: Library): CallCost {
  const text = new Uint8Array(8);
  return {
    call: least(() => symbols.specache_abi_version()),
    bufferCall: least(() => symbols.specache_error(text, text.length)),
  };
}

function least(call: () => void): number {
  const rounds = Array.from({ length: ROUNDS }, () => {
    const started = performance.now();
    for (let done = 0; done < CALLS; done++) call();
    return (performance.now() - started) * 1e6 / CALLS;
  });
  return Math.min(...rounds);
}
