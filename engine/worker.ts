// worker.ts - the thread that makes the native calls of an engine: the event loop stays free.
// Requests run together, one native call at a time. A request's cancel flag is shared memory: it is
// seen even while messages wait behind a native call.

import { DecodeState } from "./decode_state.ts";
import { type EngineCounters, RequestTotals } from "./engine_stats.ts";
import { SpecacheError } from "./errors.ts";
import { closeLibrary, sharedLibrary } from "../ffi/library.ts";
import { type Answer, type Call, type Calls, fieldsOf, type SessionAnswer } from "./messages.ts";
import { NativeStore } from "./native.ts";
import { measureProfile } from "./profile_measure.ts";
import { Requests } from "./requests.ts";
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
let opened: { readonly store: NativeStore; readonly requests: Requests } | null = null;
const sessions = new Map<number, DecodeState>();
const judges = new Map<number, (stop: boolean) => void>(); // by ticket: who waits for a verdict
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
    opened = { store, requests: new Requests(store, description.eos, sessions, totals) };
    return { store: store.id, isa: store.isa, threads: store.threads, device: store.deviceName };
  },
  session(ask) {
    return requestsOf().place(ask, () => added(new DecodeState(storeOf().openSequence())));
  },
  async generate(ask, id) {
    if (closing) throw new SpecacheError("closed", "Cannot use the engine: it is closed");
    const { ticket, judged } = ask;
    const request = requestsOf().generate(ask, (event) => {
      const verdict = judged && event.kind === "token" ? verdictOn(ticket) : undefined;
      scope.postMessage({ kind: "event", id, event });
      return verdict;
    });
    atWork.add(request);
    try {
      return await request;
    } finally {
      atWork.delete(request);
    }
  },
  verdict({ ticket, stop }) {
    judges.get(ticket)?.(stop);
    return null;
  },
  gaveUp() {
    requestsOf().admit();
    return null;
  },
  engineStats,
  observe(ask) {
    return requestsOf().observer.observe(ask);
  },
  held({ session }) {
    const { length, begun } = stateOf(session);
    return { session, length, begun };
  },
  stats({ session }) {
    return statsOf(stateOf(session));
  },
  fork({ session, ...ask }) {
    return requestsOf().place(ask, () => {
      const state = stateOf(session);
      return added(state.fork(storeOf().fork(state.sequence)));
    });
  },
  truncate({ session, tokens }) {
    const state = stateOf(session);
    storeOf().truncate(state.sequence, tokens);
    state.cut(tokens);
    requestsOf().admit();
    return { session, length: state.length, begun: state.begun };
  },
  closeSession({ session }) {
    const state = stateOf(session);
    storeOf().closeSequence(state.sequence);
    sessions.delete(session);
    requestsOf().closed(state);
    return null;
  },
  // Requests were told to stop; they end first, for none may call a library that is closed.
  async close() {
    closing = true;
    for (const judge of judges.values()) judge(true);
    await Promise.allSettled(atWork);
    opened?.requests.observer.stop();
    opened?.store.close();
    opened = null;
    sessions.clear();
    closeLibrary(); // what a runtime took to load it does not go with a worker by itself
    return null;
  },
};

function verdictOn(ticket: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  judges.set(ticket, resolve);
  return promise.finally(() => judges.delete(ticket));
}

function added(state: DecodeState): SessionAnswer {
  sessions.set(++sessionsOpened, state);
  return { session: sessionsOpened, length: state.length, begun: state.begun };
}

function engineStats(): EngineCounters {
  const { requests, store } = openedOf();
  const held = [...sessions.values(), ...requests.texts()].map(statsOf);
  const sum = (name: "tokens" | "nearBytes" | "fullBytes") =>
    held.reduce((total, stats) => total + stats[name], 0);
  return {
    sessions: sessions.size,
    waiting: requests.waiting,
    prefixes: requests.prefixes.counts,
    setBack: requests.setBack,
    pages: store.pages(),
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
  return openedOf().store;
}

function requestsOf(): Requests {
  return openedOf().requests;
}

function openedOf(): NonNullable<typeof opened> {
  if (opened !== null) return opened;
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
