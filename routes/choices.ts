// choices.ts - the answers to one request, which run side by side. Those to one prompt share what
// was read of it: the first begins, and the others when it has its first token.
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
  #events: ChoiceEvent[] = [];
  #failure: { readonly error: unknown } | null = null;
  #changed = Promise.withResolvers<void>();

  private constructor(parts: ChoicesParts, groups: readonly Group[], first: ServedGeneration) {
    this.#parts = parts;
    this.#joining = new Joining(parts.engine); // the first runs, so all are to be finished
    this.#groups = groups;
    this.#first = first;
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
        for (const event of this.#events.splice(0)) {
          if ("result" in event) left--;
          yield event;
        }
        if (this.#failure !== null) throw this.#failure.error;
        if (left > 0 && this.#events.length === 0) await this.#changed.promise;
      }
    } finally {
      if (left > 0) this.#parts.left.abort();
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
      this.#add({ index, piece });
      if (pieces++ === 0) begun();
    }
    const result = await run.result;
    this.#add({ index, result });
    if (pieces === 0) begun();
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
    this.#wake();
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}
