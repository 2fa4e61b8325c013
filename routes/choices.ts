// choices.ts - the answers to one request, which run side by side. Those to one prompt share what
// was read of it: the first begins, and the others when it has its first token. Each is read a few
// tokens ahead of whoever reads them all, and no further.
import type { GenerateOptions } from "../engine/config_generate.ts";
import type { GenerateResult, Piece } from "../engine/generation.ts";
import { begin } from "./begin.ts";
import type { ServedEngine, ServedGeneration } from "./engine.ts";
import { seedOf } from "./fields.ts";
import { Joining } from "./joining.ts";

/** What came of the answer at `index`. */
export type ChoiceEvent =
  & { readonly index: number }
  & (
    | { readonly piece: Piece }
    | { readonly result: GenerateResult }
  );

/** What answers need to begin. */
export interface ChoicesParts {
  readonly engine: ServedEngine;
  /** Aborted when the server closes. */
  readonly closing?: AbortSignal;
  /** Aborted when the client leaves, and when an answer fails, so that no other goes on. */
  readonly left: AbortController;
}

/** Tokens of each answer that are read ahead. */
export const AHEAD = 8;

/** Options of answers that go on from the same prompt. */
export type Group = readonly (GenerateOptions & { readonly seed: number })[];

/** Options of `n` answers by seeds that follow each other. */
export function groupOf(options: Group[number], n: number): Group {
  return Array.from({ length: n }, (_, at) => ({ ...options, seed: seedOf(options.seed, at) }));
}

/** Answers that run. */
export class Choices {
  readonly #parts: ChoicesParts;
  readonly #joining: Joining;
  readonly #groups: readonly Group[];
  readonly #first: ServedGeneration;
  readonly #events: ChoiceEvent[] = [];
  readonly #waiting: number[]; // by answer: its tokens among them
  #over = false; // nothing is read any more
  #failure: { readonly error: unknown } | null = null;
  #changed = Promise.withResolvers<void>();

  private constructor(parts: ChoicesParts, groups: readonly Group[], first: ServedGeneration) {
    this.#parts = parts;
    this.#joining = new Joining(parts.engine); // the first runs, so all are to be finished
    this.#groups = groups;
    this.#first = first;
    this.#waiting = groups.flat().map(() => 0);
  }

  /**
   * Waits until the first answer runs: with it all are let in. Indices count through the groups.
   *
   * @throws {SpecacheError} what refuses it
   */
  static async begin(parts: ChoicesParts, groups: readonly Group[]): Promise<Choices> {
    const { engine, closing, left: { signal } } = parts;
    return new Choices(parts, groups, await begin(engine, { ...groups[0][0], signal }, closing));
  }

  /** What comes of all answers, each to its result. What runs is finished whole. */
  async *events(): AsyncGenerator<ChoiceEvent> {
    let left = this.#groups.flat().length;
    let index = 0;
    for (const group of this.#groups) {
      this.#run(group, index, index === 0 ? this.#first : null).catch((error) => this.#fail(error));
      index += group.length;
    }
    try {
      while (left > 0) {
        const event = this.#events.shift();
        if (event !== undefined) {
          if ("result" in event) left--;
          else this.#take(event.index);
          yield event;
        } else if (this.#failure !== null) throw this.#failure.error;
        else await this.#changed.promise;
      }
    } finally {
      this.#over = true;
      if (left > 0) this.#parts.left.abort();
      this.#wake(); // answers that wait for the reader
    }
  }

  async #run(group: Group, index: number, running: ServedGeneration | null): Promise<void> {
    const first = running ?? await this.#join(group[0]);
    const others = () => {
      for (let at = 1; at < group.length; at++) {
        this.#join(group[at])
          .then((run) => this.#pass(run, index + at))
          .catch((error) => this.#fail(error));
      }
    };
    await this.#pass(first, index, others);
  }

  async #pass(run: ServedGeneration, index: number, begun: () => void = () => {}): Promise<void> {
    let pieces = 0;
    for await (const piece of run) {
      this.#waiting[index]++;
      this.#add({ index, piece });
      if (pieces++ === 0) begun();
      while (this.#waiting[index] >= AHEAD && !this.#over) await this.#changed.promise;
      if (this.#over) return;
    }
    const result = await run.result;
    this.#add({ index, result });
    if (pieces === 0) begun();
  }

  // An answer that was as far ahead as it may goes on.
  #take(index: number): void {
    if (this.#waiting[index]-- === AHEAD) this.#wake();
  }

  #join(options: GenerateOptions): Promise<ServedGeneration> {
    return this.#joining.begin({ ...options, signal: this.#parts.left.signal });
  }

  #add(event: ChoiceEvent): void {
    this.#events.push(event);
    this.#wake();
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#over = true; // what came before is told, and then the failure
    this.#wake();
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}
