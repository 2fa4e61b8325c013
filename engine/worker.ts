// worker.ts - the thread that makes the native calls of an engine: the event loop stays free.
// Requests of several sessions take turns, one native call at a time. A request's cancel flag is
// shared memory: it is seen even while messages wait behind a native call.

import { setImmediate } from "node:timers";
import { decode } from "./decode.ts";
import { DecodeState } from "./decode_state.ts";
import { type EngineCounters, RequestTotals } from "./engine_stats.ts";
import { SpecacheError } from "./errors.ts";
import { closeLibrary, sharedLibrary } from "../ffi/library.ts";
import { type Answer, type Call, type Calls, fieldsOf } from "./messages.ts";
import { NativeStore } from "./native.ts";
import { measureProfile } from "./profile_measure.ts";
import type { CacheStats } from "./stats.ts";

/** This module; by the client's import of the type a packager sees that it is needed. */
export type WorkerFile = "./worker.ts";

interface WorkerScope {
  onmessage: ((event: { readonly data: Call }) => void) | null;
  postMessage(answer: Answer): void;
}

const scope = globalThis as unknown as WorkerScope;

type Handlers = {
  [Name in keyof Calls]: (
    ask: Calls[Name]["ask"],
    id: number,
  ) => Calls[Name]["answer"] | Promise<Calls[Name]["answer"]>;
};

// One worker serves one engine, hence one store.
let opened: { readonly store: NativeStore; readonly eos: readonly number[] } | null = null;
const sessions = new Map<number, DecodeState>();
const judges = new Map<number, (stop: boolean) => void>(); // by session: who waits for a verdict
const atWork = new Set<Promise<unknown>>(); // requests
let closing = false;
let sessionsOpened = 0;
const totals = new RequestTotals();

const handlers: Handlers = {
  measure({ library, ...options }) {
    sharedLibrary(library);
    return measureProfile(options);
  },
  open({ settings, description, profile, library }) {
    sharedLibrary(library);
    const store = NativeStore.open(settings, description, profile, "open an engine");
    try {
      store.loadModel(description);
    } catch (error) {
      store.close();
      throw error;
    }
    opened = { store, eos: description.eos };
    return { store: store.id, isa: store.isa, threads: store.threads, device: store.deviceName };
  },
  session() {
    return added(new DecodeState(storeOf().openSequence()));
  },
  async generate(ask, id) {
    if (closing) throw new SpecacheError("closed", "Cannot use the engine: it is closed");
    const request = generate(ask, id);
    atWork.add(request);
    try {
      return await request;
    } finally {
      atWork.delete(request);
    }
  },
  verdict({ session, stop }) {
    judges.get(session)?.(stop);
    return null;
  },
  engineStats,
  held({ session }) {
    const { length, begun } = stateOf(session);
    return { session, length, begun };
  },
  stats({ session }) {
    return statsOf(stateOf(session));
  },
  fork({ session }) {
    const state = stateOf(session);
    return added(state.fork(storeOf().fork(state.sequence)));
  },
  truncate({ session, tokens }) {
    const state = stateOf(session);
    storeOf().truncate(state.sequence, tokens);
    state.cut(tokens);
    return { session, length: state.length, begun: state.begun };
  },
  closeSession({ session }) {
    storeOf().closeSequence(stateOf(session).sequence);
    sessions.delete(session);
    return null;
  },
  // Requests were told to stop; they end first, for none may call a library that is closed.
  async close() {
    closing = true;
    for (const judge of judges.values()) judge(true);
    await Promise.allSettled(atWork);
    opened?.store.close();
    opened = null;
    sessions.clear();
    closeLibrary(); // what a runtime took to load it does not go with a worker by itself
    return null;
  },
};

// A request that fails leaves its session as it was, but for what a whole text did not begin with;
// one that is cancelled can be gone on with.
async function generate(
  asked: Calls["generate"]["ask"],
  id: number,
): Promise<Calls["generate"]["answer"]> {
  const state = stateOf(asked.session);
  const { whole, ids, request } = asked;
  const kept = whole ? heldOf(state, ids) : 0;
  const ask = { ...asked, ids: ids.slice(kept) };
  const held = whole ? kept : state.length + state.unread.length + (state.next === null ? 0 : 1);
  checkRoom(storeOf(), held, ask.ids.length, request.maxTokens);
  if (whole) cut(state, kept);
  const before = state.fork(state.sequence);
  try {
    const answer = await run(ask, id);
    totals.add(answer.stop === "cancelled" ? "cancelled" : "ended", answer);
    return answer;
  } catch (error) {
    totals.add("failed");
    const held = state.length;
    state.restore(before);
    try {
      if (held !== before.length) storeOf().truncate(state.sequence, before.length);
    } catch {
      // The store is closed, or its far memory failed: `error` or the next call says so.
    }
    throw error;
  }
}

async function run(
  { session, ids, request, judged, cancel }: Calls["generate"]["ask"],
  id: number,
): Promise<Calls["generate"]["answer"]> {
  const store = storeOf();
  const state = stateOf(session);
  const cachedTokens = state.length;
  if (ids.length > 0) state.ask(ids);
  const started = performance.now();
  let decoding = started; // when prefill had ended
  let prefilled = state.length; // tokens then
  const stepsBefore = state.steps;
  const events = decode({
    store,
    state,
    request,
    eos: opened!.eos,
    cancelled: () => Atomics.load(cancel, 0) === 1,
  });
  let stop = false;
  let completionTokens = 0;
  while (true) {
    const step = events.next(stop);
    if (step.done) {
      const ended = performance.now();
      return {
        stop: step.value,
        promptTokens: ids.length,
        cachedTokens,
        length: state.length,
        begun: state.begun,
        completionTokens,
        cache: statsOf(state),
        stepTokens: state.length - prefilled,
        steps: state.steps - stepsBefore,
        prefillMs: decoding - started,
        decodeMs: ended - decoding,
      };
    }
    if (step.value.kind === "prefilled") [decoding, prefilled] = [performance.now(), state.length];
    if (step.value.kind === "token") completionTokens++;
    const verdict = judged && step.value.kind === "token" ? verdictOn(session) : null;
    scope.postMessage({ kind: "event", id, event: step.value });
    stop = await verdict ?? false;
    await new Promise((turn) => setImmediate(turn)); // other messages and other requests
  }
}

function verdictOn(session: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  judges.set(session, resolve);
  return promise.finally(() => judges.delete(session));
}

// The last token emitted is not in the sequence, so it needs no room.
function checkRoom(store: NativeStore, held: number, prompt: number, maxTokens: number) {
  const needed = held + prompt + Math.max(0, maxTokens - 1);
  const { tokensMax } = store.settings;
  if (needed <= tokensMax) return;
  throw new SpecacheError(
    "capacity",
    `Cannot generate: ${held} tokens held, ${prompt} of the prompt and maxTokens ${maxTokens} ` +
      `are above contextTokens ${tokensMax}`,
    { details: { held, prompt, maxTokens, contextTokens: tokensMax } },
  );
}

// Tokens of the sequence that a whole text begins with; its last one is read anew, for its logits.
function heldOf(state: DecodeState, ids: readonly number[]): number {
  const most = Math.min(state.length, ids.length - 1);
  const held = state.text.ids;
  let same = 0;
  while (same < most && held[same] === ids[same]) same++;
  return same;
}

function cut(state: DecodeState, tokens: number): void {
  if (tokens < state.length) storeOf().truncate(state.sequence, tokens);
  state.cut(tokens);
}

function added(state: DecodeState): Calls["session"]["answer"] {
  sessions.set(++sessionsOpened, state);
  return { session: sessionsOpened, length: state.length, begun: state.begun };
}

function engineStats(): EngineCounters {
  const held = [...sessions.values()].map(statsOf);
  const sum = (name: "tokens" | "nearBytes" | "fullBytes") =>
    held.reduce((total, stats) => total + stats[name], 0);
  return {
    sessions: sessions.size,
    tokens: sum("tokens"),
    nearBytes: sum("nearBytes"),
    fullBytes: sum("fullBytes"),
    ...totals.sums,
  };
}

function statsOf(state: DecodeState): CacheStats {
  return storeOf().stats(state.sequence, state.guessStats);
}

function storeOf(): NativeStore {
  if (opened !== null) return opened.store;
  throw new SpecacheError("handle", "Cannot use the engine: it is closed");
}

function stateOf(session: number): DecodeState {
  const state = sessions.get(session);
  if (state !== undefined) return state;
  throw new SpecacheError("handle", `Cannot use session ${session}: it is closed`);
}

scope.onmessage = async ({ data: { name, id, ask } }) => {
  try {
    const handler = handlers[name] as (ask: unknown, id: number) => unknown;
    scope.postMessage({ kind: "answer", id, answer: await handler(ask, id) });
  } catch (error) {
    scope.postMessage({ kind: "error", id, error: fieldsOf(error) });
  }
};
