// canceller.ts - a worker that waits for a store's first attended layer and then cancels its call.
import { sharedLibrary } from "../../ffi/library.ts";

const EVENTS = 256; // 4 u64 each

/** Waits in short sleeps, since the thread that it watches is in a native call. */
function cancelBehindFirstLayer(store: bigint): void {
  const { symbols } = sharedLibrary();
  const events = new BigUint64Array(4 * EVENTS);
  const count = new Uint32Array(1);
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  do {
    Atomics.wait(sleeper, 0, 0, 1);
    symbols.specache_trace(store, events, EVENTS, count);
  } while (attendedLayers(events, count[0]) === 0);
  symbols.specache_cancel(store);
}

/** How many layers of the trace's events have attended. */
export function attendedLayers(events: BigUint64Array, count: number): number {
  return Array.from({ length: count }, (_, i) => events[4 * i]).filter((what) => what === 0n)
    .length;
}

const scope = globalThis as unknown as {
  onmessage: ((event: { data: bigint | "ready?" }) => void) | null;
  postMessage?(message: string): void;
};

/** To be called by the worker's own module. */
export function listen(): void {
  scope.onmessage = ({ data }) => {
    if (data !== "ready?") return cancelBehindFirstLayer(data);
    sharedLibrary();
    scope.postMessage!("ready");
  };
}
