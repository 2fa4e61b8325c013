// scheduler.ts - requests that run at a time on one store: in each turn one of them reads a piece
// of its prompt, and all that decode make one step together, which reads the weights once for all.
// Each has the text that it would have alone.
import { setImmediate } from "node:timers";
import { type Ask, type Asking, decodeAsking, type DecodeEvent } from "./decode.ts";
import type { Run, StepAsk, StepsAsk, Stop } from "./decode.ts";
import type { DecodeState } from "./decode_state.ts";
import type { NativeStore, StepShare } from "./native.ts";
import type { Observer } from "./observer.ts";
import type { Likeliest } from "./sampler.ts";

/** Tokens of a prompt that are read at a time beside others: what they wait for it. */
export const PIECE_TOKENS = 128;
/** Milliseconds that the next turn waits for verdicts on the tokens of the last one. */
const VERDICT_MS = 5;

/** Takes a request's events; true, to one that brings a token, makes it the last. */
export type Tell = (event: DecodeEvent) => boolean | void | Promise<boolean | void>;

/** What a request's sequence may come to. */
export interface Allowance {
  /** Whether it may come to so many tokens now; others may be set back for it. */
  mayHold(tokens: number): boolean;
  /** Tokens that it has room for already. */
  holds(): number;
}

const UNBOUNDED: Allowance = { mayHold: () => true, holds: () => Infinity };

interface Member {
  readonly decode: Asking<Stop>;
  readonly state: DecodeState;
  readonly tell: Tell;
  readonly allowance: Allowance;
  readonly cancelled: () => boolean;
  /** Which it is of those that came. */
  readonly came: number;
  /** It may not hold what its step would bring it to. */
  lacks: boolean;
  /** What it waits for; null: to begin. */
  ask: Ask | { readonly kind: "verdict" } | null;
  readonly end: (stop: Stop) => void;
  readonly fail: (error: unknown) => void;
}

type Came = ReturnType<Asking<Stop>["next"]>;

/** Runs requests of one store together. */
export class Scheduler {
  readonly #store: NativeStore;
  readonly #observer: Observer;
  /** In the order in which they read: who has read a piece goes to the end. */
  #members: Member[] = [];
  /** Those that were set back, and have no turns. */
  readonly #back = new Map<DecodeState, Member>();
  #came = 0;
  #looping = false;
  /** Told that somebody can go on. */
  #wake: () => void = () => {};

  /** Nothing runs yet. */
  constructor(store: NativeStore, observer: Observer) {
    this.#store = store;
    this.#observer = observer;
  }

  /** Requests that run. */
  get running(): number {
    return this.#members.length;
  }

  /** Runs a request to its end; one that fails ends no other. */
  run(run: Run, tell: Tell, allowance: Allowance = UNBOUNDED): Promise<Stop> {
    const { promise, resolve, reject } = Promise.withResolvers<Stop>();
    const { state, cancelled } = run;
    this.#members.push({
      ...{ decode: decodeAsking({ ...run, alone: () => this.#oneAlone() }), state, tell },
      ...{ allowance, cancelled, came: this.#came++, lacks: false, ask: null },
      ...{ end: resolve, fail: reject },
    });
    this.#start();
    return promise;
  }

  /** Whether a request can be set back now: it waits for a turn. */
  canSetBack(state: DecodeState): boolean {
    const member = this.#members.find((each) => each.state === state);
    return member !== undefined && member.ask?.kind !== "verdict";
  }

  /** A request that can be set back has no turns until `goOn`; its sequence may be cut. */
  setBack(state: DecodeState): void {
    const member = this.#members.find((each) => each.state === state)!;
    this.#leave(member);
    member.lacks = false;
    this.#back.set(state, member);
  }

  /** A request that was set back goes on where it was, or ends where it was cancelled. */
  goOn(state: DecodeState): void {
    const member = this.#back.get(state)!;
    this.#back.delete(state);
    this.#members.push(member);
    const asks = member.ask === null || state.whole && !member.cancelled();
    if (!asks) this.#goOn(member, attempt(() => member.decode.next(null)));
    this.#start();
  }

  /** A request that was set back can never go on. */
  fail(state: DecodeState, error: unknown): void {
    const member = this.#back.get(state)!;
    this.#back.delete(state);
    member.fail(error);
  }

  /** Pages came free, or somebody gave up: who lacked pages asks again. */
  wake(): void {
    for (const member of this.#members) member.lacks = false;
    this.#wake();
  }

  #start(): void {
    if (!this.#looping) this.#loop();
    this.#wake();
  }

  async #loop(): Promise<void> {
    this.#looping = true;
    try {
      while (this.#members.length > 0) {
        await within(VERDICT_MS, this.#turn());
        if (this.#members.every(waits)) await this.#woken();
        await new Promise((turn) => setImmediate(turn)); // messages
      }
    } catch (error) {
      for (const { fail } of this.#members.splice(0)) fail(error); // none waits for ever
    } finally {
      this.#looping = false;
    }
  }

  // Who comes later waits until the steps in a row have ended.
  #oneAlone(): boolean {
    return this.#members.length === 1 && this.#back.size === 0 && !this.#observer.looks;
  }

  // Nobody can go on: all wait for verdicts, or lack pages.
  #woken(): Promise<void> {
    if (this.#members.length === 0) return Promise.resolve();
    return new Promise((answer) => this.#wake = answer);
  }

  // All take their rows, and end their step with it, before anybody is told of an event: whoever
  // takes that may stop here, or fork another request's sequence.
  // The answer: verdicts that are awaited.
  #turn(): Promise<void>[] {
    this.#judgePages();
    const came: [Member, () => Came][] = this.#members
      .filter(({ lacks, cancelled }) => lacks && cancelled())
      .map((member) => [member, attempt(() => member.decode.next(null))]);
    const beginning = this.#members.filter(({ ask }) => ask === null);
    for (const member of beginning) came.push([member, attempt(() => member.decode.next())]);
    const stepping = this.#members.filter(({ ask, lacks }) => steps(ask) && !lacks);
    const reader = this.#members.find(({ ask }) => ask?.kind === "read");
    const shareOf = (ask: Member["ask"]) => (ask as StepAsk | StepsAsk).share;
    const shares = stepping.map(({ state, ask }) => ({ state, share: shareOf(ask) }));
    const turn = seen(() => this.#observer.begin(reader?.state ?? null, shares));
    if (reader !== undefined) {
      const { chunkTokens } = this.#store.settings;
      const alone = this.#members.length === 1;
      const tokens = alone ? chunkTokens : Math.min(PIECE_TOKENS, chunkTokens);
      came.push([reader, attempt(() => reader.decode.next(tokens))]);
      this.#members = [...this.#members.filter((member) => member !== reader), reader];
    }
    seen(() => turn?.read());
    came.push(...this.#step(stepping));
    seen(() => turn?.stepped());
    return came.flatMap(([member, result]) => this.#goOn(member, result) ?? []);
  }

  // The oldest ask first: who lacks pages may have others set back.
  #judgePages(): void {
    const asking = this.#members.filter(({ ask }) => steps(ask));
    for (const member of asking.sort((a, b) => a.came - b.came)) {
      if (!this.#members.includes(member)) continue;
      const lacks = !this.#mayHold(member);
      member.lacks = lacks && !this.#back.has(member.state); // it may be the one that was set back
    }
  }

  // Steps in a row are no more than there is room for once one may be made.
  #mayHold(member: Member): boolean {
    const { state, allowance } = member;
    const ask = member.ask as StepAsk | StepsAsk;
    if (!allowance.mayHold(state.length + ask.share.trusted)) return false;
    if (ask.kind === "step") return true;
    const room = Math.max(1, allowance.holds() - state.length);
    if (room < ask.steps) member.ask = { ...ask, steps: room };
    return true;
  }

  #step(members: readonly Member[]): [Member, () => Came][] {
    const alone = members.filter(({ ask }) => ask?.kind === "steps");
    const together = members.filter(({ ask }) => ask?.kind === "step");
    const shares = together.map(({ ask }) => (ask as StepAsk).share);
    const answers = [
      ...alone.map(({ ask }) => inARow(this.#store, ask as StepsAsk)),
      ...shares.length === 0 ? [] : stepAll(this.#store, shares),
    ];
    return [...alone, ...together].map((member, at) => {
      const [{ decode }, answer] = [member, answers[at]];
      return [
        member,
        attempt(() =>
          "error" in answer ? decode.throw(answer.error) : decode.next(answer.predicted)
        ),
      ];
    });
  }

  // Tells what a request has come to, and goes on with it until it waits for a turn or has ended.
  // The answer: the verdict that it waits for.
  #goOn(member: Member, came: () => Came): Promise<void> | void {
    const { decode, tell } = member;
    try {
      let { done, value } = came();
      while (!done) {
        const asked = value as DecodeEvent | Ask;
        if (steps(asked) || asked.kind === "read") {
          member.ask = asked;
          return;
        }
        const verdict = tell(asked);
        if (verdict instanceof Promise) {
          member.ask = { kind: "verdict" };
          return this.#judged(member, verdict);
        }
        ({ done, value } = decode.next(verdict));
      }
      this.#leave(member);
      member.end(value as Stop);
    } catch (error) {
      this.#leave(member);
      member.fail(error);
    }
  }

  // Others do not wait for it: who judges may be busy.
  async #judged(member: Member, verdict: Promise<boolean | void>): Promise<void> {
    const { decode } = member;
    let came: () => Came;
    try {
      const answer = await verdict;
      came = attempt(() => decode.next(answer));
    } catch (error) {
      came = attempt(() => decode.throw(error));
    }
    await this.#goOn(member, came);
    this.#wake();
  }

  #leave(member: Member): void {
    this.#members = this.#members.filter((other) => other !== member);
  }
}

function steps(asked: Member["ask"] | DecodeEvent): asked is StepAsk | StepsAsk {
  return asked?.kind === "step" || asked?.kind === "steps";
}

function waits({ ask, lacks }: Member): boolean {
  return ask?.kind === "verdict" || lacks;
}

// Waits for all, but no longer than that.
async function within(milliseconds: number, all: readonly Promise<void>[]): Promise<void> {
  if (all.length === 0) return;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<void>((answer) => timer = setTimeout(answer, milliseconds));
  await Promise.race([Promise.all(all), over]);
  clearTimeout(timer);
}

// Who looks on ends no turn: what failed for them, as reading counters, is not the requests'.
function seen<Seen>(look: () => Seen): Seen | null {
  try {
    return look();
  } catch {
    return null;
  }
}

// What a call gave or threw, to be had later.
function attempt(call: () => Came): () => Came {
  try {
    const came = call();
    return () => came;
  } catch (error) {
    return () => {
      throw error;
    };
  }
}

type Stepped = { readonly predicted: Likeliest[] | null } | { readonly error: unknown };

function inARow(store: NativeStore, ask: StepsAsk): Stepped {
  try {
    return { predicted: store.inARow(ask) };
  } catch (error) {
    return { error };
  }
}

// A step that fails leaves all as they were: made one by one, it fails for whom it must alone.
function stepAll(store: NativeStore, shares: readonly StepShare[]): Stepped[] {
  try {
    const all = store.steps(shares);
    return shares.map((_, at) => ({ predicted: all && all[at] }));
  } catch (error) {
    if (shares.length === 1) return [{ error }];
    return shares.flatMap((share) => stepAll(store, [share]));
  }
}
