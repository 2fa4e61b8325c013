// observer.ts - watches the turns of a scheduler for those who look on. While nobody has asked for
// 5 seconds it watches nothing, and holds no more than which requests run.
import type { DecodeState } from "./decode_state.ts";
import type { StepAsk, Stop } from "./decode.ts";
import { SpecacheError } from "./errors.ts";
import type { NativeStore } from "./native.ts";
import { TEXT_TOKENS, type Turn, TURNS_KEPT } from "./observation.ts";
import type { ObserveAnswer, ObserveAsk, SeenText } from "./observed.ts";
import { ObservedRequest, type Running } from "./observed_request.ts";
import { ObservedTurn, type Stepping } from "./observed_turn.ts";

/** Milliseconds after which somebody who has not asked again looks on no more. */
export const QUIET_MS = 5000;
const ENDED_KEPT = 4;
const TOKENS_BEFORE = 4; // a character may be that many tokens

/** Who looks on. */
interface Onlooker {
  readonly salt: string;
  readonly watch?: number;
  readonly asked: number;
}

/** Watches the turns of one store's requests. */
export class Observer {
  readonly #store: NativeStore;
  readonly #quietMs: number;
  readonly #opened = performance.now();
  readonly #running = new Set<Running>();
  readonly #onlookers = new Map<string, Onlooker>();
  /** Those that run, while somebody looks on, oldest first. */
  #requests = new Map<DecodeState, ObservedRequest>();
  #ended: ObservedRequest[] = [];
  #turns: Turn[] = [];
  #turn = 0;
  #watching: ObservedRequest | null = null;
  #unwatched: string | null = null;
  #quiet: ReturnType<typeof setTimeout> | undefined;

  /** Nobody looks on yet. */
  constructor(store: NativeStore, quietMs: number = QUIET_MS) {
    this.#store = store;
    this.#quietMs = quietMs;
  }

  /** Whether anybody looks on. */
  get looks(): boolean {
    return this.#onlookers.size > 0;
  }

  /** A request begins to run; the answer is to be told how it ends. */
  add(running: Running): (stop: Stop | "failed") => void {
    const { state, salt } = running;
    this.#running.add(running);
    if (this.#onlookers.size > 0) this.#requests.set(state, new ObservedRequest(running, "prompt"));
    return (stop) => {
      this.#running.delete(running);
      const request = this.#requests.get(state);
      if (request?.running !== running) return;
      request.end(stop);
      this.#requests.delete(state);
      if (this.#watching === request) this.#watching = null;
      const kept = [...this.#onlookers.values()].some((onlooker) => onlooker.salt === salt);
      if (kept) this.#ended = [...this.#ended, request].slice(-ENDED_KEPT);
    };
  }

  /** A text is closed: nothing more can be asked of it. */
  forget(state: DecodeState): void {
    if (this.#watching?.running.state === state) this.#watching = null;
    this.#requests.delete(state);
  }

  /** A turn begins: whose prompt is read on, and who steps. null: it is not watched. */
  begin(
    reader: DecodeState | null,
    steps: readonly { readonly state: DecodeState; readonly share: StepAsk["share"] }[],
  ): ObservedTurn | null {
    if (this.#onlookers.size === 0 || reader === null && steps.length === 0) return null;
    const stepping = steps.flatMap(({ state, share }) => {
      const request = this.#requests.get(state);
      return request === undefined ? [] : [{ request, share }];
    });
    try {
      return this.#turnOf(reader && (this.#requests.get(reader) ?? null), stepping);
    } catch {
      this.stop(); // the store has failed: who works with it is told by its next call
      return null;
    }
  }

  #turnOf(reader: ObservedRequest | null, stepping: readonly Stepping[]): ObservedTurn {
    this.#watch(this.#wanted(stepping));
    const watched = stepping.find(({ request }) => request === this.#watching)?.request ?? null;
    const stepsBefore = watched?.running.state.steps;
    return new ObservedTurn({
      ...{ opened: this.#opened, reader, stepping },
      statsOf: ({ running: { state } }) => this.#store.stats(state.sequence, state.guessStats),
      end: (turn) => {
        this.#turns.push({ turn: ++this.#turn, ...turn });
        if (this.#turns.length > TURNS_KEPT) this.#turns.shift();
        if (watched === null || watched.running.state.steps === stepsBefore) return;
        const read = this.#store.watched();
        if (read !== null) watched.steps.add(this.#turn, read);
      },
      fail: () => this.stop(),
    });
  }

  /** What is shown to who asks. */
  observe(ask: ObserveAsk): ObserveAnswer {
    this.#hear(ask);
    const { salt, since = 0 } = ask;
    const now = performance.now();
    const own = [...this.#requests.values()].filter(({ running }) => running.salt === salt);
    const request = this.#requestOf(ask);
    const { mode, slots } = this.#store.settings;
    const { layers, kvHeads } = this.#store.shape;
    return {
      ...{ nowMs: now - this.#opened, mode, layers, kvHeads, slots, turn: this.#turn },
      turns: this.#turns.filter(({ turn }) => turn > since),
      requests: own.map((each) => each.request(now)),
      others: this.#running.size - own.length,
      watched: request && this.#seen(request, ask),
    };
  }

  /** Watches nothing more, until somebody asks again. */
  stop(): void {
    clearTimeout(this.#quiet);
    this.#onlookers.clear();
    this.#requests.clear();
    this.#ended = [];
    this.#turns = [];
    this.#unwatched = null;
    if (this.#watching === null) return;
    this.#watching = null;
    try {
      this.#store.watch(null);
    } catch {
      // The store is closed or has failed: who works with it is told by its next call.
    }
  }

  #hear({ salt, watch }: ObserveAsk): void {
    const asked = performance.now();
    this.#onlookers.set(`${watch} ${salt}`, { salt, watch, asked });
    for (const [name, onlooker] of this.#onlookers) {
      if (asked - onlooker.asked > this.#quietMs) this.#onlookers.delete(name);
    }
    for (const running of this.#running) {
      if (this.#requests.has(running.state)) continue;
      this.#requests.set(running.state, new ObservedRequest(running, "unseen"));
    }
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.stop(), this.#quietMs);
  }

  // The request that was named, else the newest, one that runs before one that has ended.
  #requestOf({ salt, watch }: Pick<Onlooker, "salt" | "watch">): ObservedRequest | null {
    const all = [...this.#ended, ...this.#requests.values()];
    const own = all.filter(({ running }) => running.salt === salt);
    if (watch === undefined) return own.at(-1) ?? null;
    return own.find(({ running }) => running.ticket === watch) ?? null;
  }

  // Of the requests in this step that somebody wants to see, one; they take turns, for the library
  // watches one at a time.
  #wanted(stepping: readonly Stepping[]): ObservedRequest | null {
    const wanted = [...this.#onlookers.values()].map((onlooker) => this.#requestOf(onlooker));
    const here = stepping.filter(({ request }) => wanted.includes(request));
    return here.length === 0 ? null : here[this.#turn % here.length].request;
  }

  #watch(request: ObservedRequest | null): void {
    if (request === null || request === this.#watching || this.#unwatched !== null) return;
    try {
      this.#store.watch(request.running.state.sequence);
      this.#watching = request;
    } catch (error) {
      this.#watching = null;
      this.#unwatched = error instanceof SpecacheError ? error.message : String(error);
    }
  }

  #seen(request: ObservedRequest, { known, since = 0, list }: ObserveAsk): SeenText {
    request.look();
    const { ids, running: { ticket }, ended } = request;
    const from = known?.ticket === ticket ? Math.min(known.tokens, ids.length) : 0;
    const end = Math.min(from + TEXT_TOKENS, ids.length);
    const places = Array.from({ length: end - from }, (_, at) => from + at);
    return {
      text: {
        ...{ ticket, ended, from, length: ids.length, unwatched: this.#unwatched },
        reads: request.steps.reads(since, list ?? null),
      },
      before: ids.slice(Math.max(0, from - TOKENS_BEFORE), from),
      ids: ids.slice(from, end),
      came: places.map((at) => request.cameOf(at)),
      guessed: places.map((at) => request.guessedAt(at)),
    };
  }
}
