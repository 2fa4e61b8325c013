// library_worker.ts - the worker that an engine is compared with: it has an engine's modules, loads
// the native library as it does, closes it, and does nothing else.
import "../../engine/worker.ts";
import { closeLibrary, sharedLibrary } from "../../ffi/library.ts";

const scope = globalThis as unknown as {
  onmessage: ((event: { readonly data: string }) => void) | null;
  postMessage(message: string): void;
};

scope.onmessage = ({ data }) => { // in place of the engine's
  sharedLibrary(data);
  closeLibrary();
  scope.postMessage("closed");
};
