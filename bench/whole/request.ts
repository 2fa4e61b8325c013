// request.ts - the steps of a request behind a cache of random rows, timed.
import { decode } from "../../engine/decode.ts";
import { DecodeState } from "../../engine/decode_state.ts";
import type { NativeStore } from "../../engine/native.ts";
import { settleRequest } from "../../engine/settings.ts";

/** A request behind the random rows, from its first step to its last; then all is as before. */
export function request(
  store: NativeStore,
  sequence: bigint,
  tokens: number,
  options: Parameters<typeof settleRequest>[0],
): { readonly wholeMs: number; readonly nativeMs: number } {
  const state = new DecodeState(sequence);
  state.read(tokens);
  state.text.add(Array.from({ length: tokens + 1 }, (_, at) => at % store.vocabulary));
  state.next = 1;
  const settled = settleRequest({ accept: "off", ...options }, store.settings, "generate");
  const run = {
    store,
    state,
    request: settled,
    eos: [],
    cancelled: () => false,
    alone: () => true,
  };
  const [began, within] = [performance.now(), nativeTime(store)];
  for (const event of decode(run)) if (event.kind !== "token") throw new Error("no prompt");
  const [wholeMs, nativeMs] = [performance.now() - began, nativeTime(store) - within];
  store.truncate(sequence, tokens);
  return { wholeMs, nativeMs };
}

function nativeTime({ library }: NativeStore): number {
  const nanoseconds = new BigUint64Array(1);
  library.check("read the time", library.symbols.specache_time(nanoseconds));
  return Number(nanoseconds[0]) / 1e6;
}
