// requests.ts - a request in the worker: it is checked, waits for room, runs beside others, and
// leaves its text to its session, or to later prompts that begin with it.
import { DecodeState } from "./decode_state.ts";
import type { RequestTotals } from "./engine_stats.ts";
import { Constraint } from "./constrain/constraint.ts";
import { Mailbox } from "./constrain/mailbox.ts";
import { SpecacheError } from "./errors.ts";
import { type Grower, Growth } from "./growth.ts";
import { Line } from "./line.ts";
import type { GenerateAnswer, GenerateAsk, PlaceAsk, RequestEvent } from "./messages.ts";
import type { NativeStore } from "./native.ts";
import { Observer } from "./observer.ts";
import { Prefixes } from "./prefixes.ts";
import { type Need, Room } from "./room.ts";
import { Scheduler } from "./scheduler.ts";
import { type CacheStats, noStats } from "./stats.ts";

/** Tells an event of a request; true, to one that brings a token, makes it the last. */
type Tell = (event: RequestEvent) => Promise<boolean> | void;

/** A request as it is asked, with its ids and tokens settled. */
interface Checked extends GenerateAsk {
  /** Tokens that the session holds and the prompt begins with. */
  readonly held: number;
  readonly constraint?: Constraint;
}

/** What a request's room has beside it. */
interface Placed extends Grower {
  readonly salt: string | null;
  /** Of the tokens that its text held before, those that were generated. */
  readonly generated: number;
}

/** Requests of one store. */
export class Requests {
  readonly #store: NativeStore;
  readonly #eos: readonly number[];
  readonly #sessions: ReadonlyMap<number, DecodeState>;
  readonly #totals: RequestTotals;
  readonly #scheduler: Scheduler;
  /** Who looks on sees what runs. */
  readonly observer: Observer;
  readonly #line: Line;
  readonly #prefixes: Prefixes;
  readonly #room: Room<Placed>;
  readonly #growth: Growth<Placed>;

  /** Nothing runs yet. */
  constructor(
    store: NativeStore,
    eos: readonly number[],
    sessions: ReadonlyMap<number, DecodeState>,
    totals: RequestTotals,
  ) {
    this.#store = store;
    this.#eos = eos;
    this.#sessions = sessions;
    this.#totals = totals;
    this.observer = new Observer(store);
    this.#scheduler = new Scheduler(store, this.observer);
    const { queue, prefixes, reuse, sequences } = store.settings;
    this.#line = new Line(queue, () => !this.#room.anyRuns);
    this.#prefixes = new Prefixes(store, { most: prefixes, reuse }, () => this.#room.taken);
    this.#room = new Room(store, sequences, this.#prefixes, sessions);
    this.#growth = new Growth(this.#room, this.#line, this.#scheduler);
  }

  /** Requests that wait for room. */
  get waiting(): number {
    return this.#line.waiting;
  }

  /** Texts that run in no session, and those that are kept, with what was reused. */
  get prefixes(): Prefixes {
    return this.#prefixes;
  }

  /** Texts that run and are no session's. */
  *texts(): Generator<DecodeState> {
    for (const { state, place } of this.#room.taken) if (place) yield state;
    yield* this.#prefixes.states();
  }

  /** How often requests were set back. */
  get setBack(): number {
    return this.#growth.count;
  }

  /** Somebody gave up, or gave room back. */
  admit(): void {
    this.#line.admit();
    this.#scheduler.wake();
  }

  /** A session's text is closed: what ran in it has no room any more. */
  closed(state: DecodeState): void {
    for (const placed of this.#room.taken) {
      if (placed.state === state) this.#room.leave(placed);
    }
    this.observer.forget(state);
    this.admit();
  }

  /**
   * What `open` opens when it is its turn and there is a place for it; null: it was given up.
   *
   * @throws {SpecacheError} capacity, busy; what `open` throws
   */
  async place<Opened>(ask: PlaceAsk, open: () => Opened): Promise<Opened | null> {
    return await this.#line.enter({
      client: ask.client,
      cancelled: () => isCancelled(ask),
      take: () => this.#room.hasPlace() ? open() : null,
    });
  }

  /**
   * Runs a request. One that fails leaves its session as it was, but for what a whole text did not
   * begin with; one that is cancelled can be gone on with.
   *
   * @throws {SpecacheError} capacity, busy, handle; what the library throws
   */
  async generate(asked: GenerateAsk, tell: Tell): Promise<GenerateAnswer> {
    const ask = this.#checked(asked);
    if (ask.grammar === null) return await this.#generate(ask, tell);
    const { vocabulary } = this.#store;
    const constraint = new Constraint(new Mailbox(vocabulary, ask.grammar).open(), vocabulary);
    try {
      return await this.#generate({ ...ask, constraint }, tell);
    } finally {
      constraint.close();
    }
  }

  async #generate(ask: Checked, tell: Tell): Promise<GenerateAnswer> {
    const placed = await this.#line.enter({
      client: ask.client,
      cancelled: () => isCancelled(ask) || this.#isClosed(ask),
      take: () => this.#take(ask),
    });
    if (placed === null) return this.#nothing(ask);
    tell({ kind: "started" });
    const ended = this.observer.add({
      ...{ ticket: ask.ticket, salt: ask.salt, session: ask.session !== null },
      ...{ state: placed.state, maxTokens: ask.request.maxTokens, started: performance.now() },
    });
    let failed = false;
    try {
      const answer = ask.session === null
        ? await this.#run(ask, placed, tell)
        : await this.#inSession(ask, placed, tell);
      this.#totals.add(answer.stop === "cancelled" ? "cancelled" : "ended", answer);
      ended(answer.stop);
      return answer;
    } catch (error) {
      this.#totals.add("failed");
      ended("failed");
      failed = true;
      throw error;
    } finally {
      this.#leave(placed, failed);
    }
  }

  // The last token emitted is not in the sequence, so it needs no room.
  #checked(asked: GenerateAsk): Checked {
    const state = asked.session === null ? null : this.#stateOf(asked.session);
    const { whole, ids, request } = asked;
    const kept = whole && state !== null ? heldOf(state, ids) : 0;
    const all = state === null ? 0 : heldIn(state);
    const held = whole ? kept : all;
    const prompt = ids.length - kept;
    const { tokensMax } = this.#store.settings;
    const room = tokensMax - held - prompt;
    const rest = request.maxTokens === Infinity;
    const maxTokens = rest ? room + 1 : request.maxTokens;
    if (Math.max(0, maxTokens - 1) <= room && maxTokens >= 0) {
      return { ...asked, request: { ...request, maxTokens }, ids: ids.slice(kept), held };
    }
    const asks = rest ? "an answer" : `maxTokens ${maxTokens}`;
    throw new SpecacheError(
      "capacity",
      `Cannot generate: ${held} tokens held, ${prompt} of the prompt and ${asks} ` +
        `are above contextTokens ${tokensMax}`,
      { details: { held, prompt, maxTokens, contextTokens: tokensMax } },
    );
  }

  #take(ask: Checked): Placed | null {
    const { session, salt, ids, held, request } = ask;
    const prompt = held + ids.length;
    const most = prompt + Math.max(0, request.maxTokens - 1);
    const need = { prompt, most, place: session === null, keeps: held };
    if (session !== null) return this.#takeInSession(ask, this.#stateOf(session), need);
    let use: () => void = () => {};
    const placed = this.#room.take(need, () => {
      const known = this.#prefixes.fork(salt, ids);
      if (known !== null) use = known.use;
      const { state, generated } = known ??
        { state: new DecodeState(this.#store.openSequence()), generated: 0 };
      const text = { state, generated, salt, keeps: state.length };
      return this.#placed(ask, { ...need, ...text }, this.#canGrow(ask, generated));
    });
    if (placed === null) return null;
    use();
    this.#prefixes.count(placed.state.length > 0);
    return placed;
  }

  // Its bits must follow from its text and its own options alone: only then can they be had again.
  #canGrow({ request }: Checked, generated: number): boolean {
    return this.#store.settings.mode !== "paper" && request.late === "all" && generated === 0;
  }

  #placed(
    ask: Checked,
    text: Need & Pick<Placed, "state" | "generated" | "salt">,
    grows: boolean,
  ): Placed {
    const state = { grows, tokens: text.most, lead: 0, back: false, lacks: false };
    return { ...text, ...state, client: ask.client, cancelled: () => isCancelled(ask) };
  }

  // What a whole text does not begin with is cut off at once: others count on the pages.
  #takeInSession(ask: Checked, state: DecodeState, need: Need): Placed | null {
    const keeps = ask.whole ? ask.held : state.length;
    const text = { ...need, keeps, salt: null, state, generated: state.generatedIn(keeps) };
    const placed = this.#room.take(text, () => this.#placed(ask, text, false));
    if (placed === null || !ask.whole) return placed;
    try {
      this.#cut(state, ask.held);
    } catch (error) {
      this.#room.leave(placed);
      throw error;
    }
    return placed;
  }

  #isClosed({ session }: Checked): boolean {
    return session !== null && !this.#sessions.has(session);
  }

  // What a request that failed has read is not for others.
  #leave(placed: Placed, failed: boolean): void {
    const { state, salt } = placed;
    this.#room.leave(placed);
    this.#totals.recomputed(state.recomputed);
    state.recomputed = 0;
    try {
      if (salt !== null && failed) this.#store.closeSequence(state.sequence);
      else if (salt !== null) this.#prefixes.keep(state, salt);
    } catch {
      // The store is closed, or its far memory failed: the request, or the next, says so.
    }
    this.admit();
  }

  async #inSession(ask: Checked, placed: Placed, tell: Tell): Promise<GenerateAnswer> {
    const { state } = placed;
    const before = state.fork(state.sequence);
    try {
      return await this.#run(ask, placed, tell);
    } catch (error) {
      const held = state.length;
      state.restore(before);
      try {
        if (held !== before.length) this.#store.truncate(state.sequence, before.length);
      } catch {
        // The store is closed, or its far memory failed: `error` or the next call says so.
      }
      throw error;
    }
  }

  async #run(ask: Checked, placed: Placed, tell: Tell): Promise<GenerateAnswer> {
    const { state } = placed;
    const store = this.#store;
    const { request, session, constraint } = ask;
    const cachedTokens = state.length;
    const ids = session === null ? ask.ids.slice(cachedTokens) : ask.ids;
    if (session === null && cachedTokens > 0) state.prompted = cachedTokens;
    if (ids.length > 0) state.ask(ids);
    const before = this.#statsOf(state);
    const started = performance.now();
    let decoding = started; // when prefill had ended
    let prefilled = state.length; // tokens then
    const stepsBefore = state.steps;
    let completionTokens = 0;
    const cancelled = () => isCancelled(ask);
    const run = { store, state, request, constraint, eos: this.#eos, cancelled };
    const stop = await this.#scheduler.run(run, (event) => {
      if (event.kind === "prefilled") [decoding, prefilled] = [performance.now(), state.length];
      else completionTokens++;
      return tell(event);
    }, {
      mayHold: (tokens) => this.#growth.mayHold(placed, tokens),
      holds: () => placed.grows ? placed.tokens : Infinity,
    });
    const ended = performance.now();
    const cache = this.#statsOf(state);
    this.#totals.fetched(before, cache);
    return {
      stop,
      promptTokens: ids.length,
      cachedTokens,
      cachedGeneratedTokens: placed.generated,
      length: state.length,
      begun: state.begun,
      completionTokens,
      cache,
      stepTokens: state.reached - prefilled,
      steps: state.steps - stepsBefore,
      prefillMs: decoding - started,
      decodeMs: ended - decoding,
    };
  }

  // What a request came to that was given up before its turn. A session's prompt is read with what
  // comes next.
  #nothing({ session, whole, held, ids }: Checked): GenerateAnswer {
    const state = session === null ? null : this.#stateOf(session);
    const cachedTokens = whole ? held : state?.length ?? 0;
    if (state !== null) {
      if (whole) this.#cut(state, held);
      if (ids.length > 0) state.ask(ids);
    }
    const cache = state === null ? noStats(this.#store.settings.mode) : this.#statsOf(state);
    this.#totals.add("cancelled");
    return {
      ...{ stop: "cancelled", promptTokens: ids.length, completionTokens: 0, cache },
      ...{ cachedTokens, cachedGeneratedTokens: 0 },
      ...{ length: state?.length ?? 0, begun: state?.begun ?? false },
      ...{ stepTokens: 0, steps: 0, prefillMs: 0, decodeMs: 0 },
    };
  }

  #cut(state: DecodeState, tokens: number): void {
    if (tokens < state.length) this.#store.truncate(state.sequence, tokens);
    state.cut(tokens);
  }

  #statsOf(state: DecodeState): CacheStats {
    return this.#store.stats(state.sequence, state.guessStats);
  }

  #stateOf(session: number): DecodeState {
    const state = this.#sessions.get(session);
    if (state !== undefined) return state;
    throw new SpecacheError("handle", `Cannot use session ${session}: it is closed`);
  }
}

function isCancelled({ cancel }: Pick<GenerateAsk, "cancel">): boolean {
  return Atomics.load(cancel, 0) === 1;
}

// Tokens of a text: in its sequence, and on their way into it.
function heldIn(state: DecodeState): number {
  return state.length + state.unread.length + (state.next === null ? 0 : 1);
}

// Tokens of the sequence that a whole text begins with; its last one is read anew, for its logits.
function heldOf(state: DecodeState, ids: readonly number[]): number {
  const most = Math.min(state.length, ids.length - 1);
  const held = state.text.ids;
  let same = 0;
  while (same < most && held[same] === ids[same]) same++;
  return same;
}
