// memory_worker.ts - one thread of the measurement of memory: copies a buffer for a while.

/** What a thread is asked. */
export interface CopyTask {
  /** Bytes of each of two buffers. */
  readonly bytes: number;
  /** How long to copy, milliseconds. */
  readonly ms: number;
}

/** What it answers: each byte copied is a byte read and a byte written. */
export interface CopyResult {
  readonly copied: number;
  readonly seconds: number;
}

interface WorkerScope {
  onmessage: ((event: { readonly data: CopyTask }) => void) | null;
  postMessage(message: CopyResult | "ready"): void;
}

const scope = globalThis as unknown as WorkerScope;

scope.onmessage = ({ data: { bytes, ms } }) => {
  const [from, to] = [new Uint8Array(bytes).fill(1), new Uint8Array(bytes).fill(2)]; // pages exist
  const started = performance.now();
  let copied = 0;
  do {
    to.set(from);
    copied += bytes;
  } while (performance.now() - started < ms);
  scope.postMessage({ copied, seconds: (performance.now() - started) / 1000 });
};
scope.postMessage("ready");
