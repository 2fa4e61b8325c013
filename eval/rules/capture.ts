// capture.ts - what attention really saw: exact keys, values and queries of a model on a text. A
// store of mode full reads the text; where a token runs as a step, its queries are kept.
import type { ModelDescription } from "../../engine/model/describe.ts";
import { NativeStore } from "../../engine/native.ts";
import { sample } from "../../engine/sampler.ts";
import { settle, settleRequest } from "../../engine/settings.ts";

/** One KV head's rows, and the queries of the steps. */
export interface HeadCapture {
  readonly layer: number;
  readonly head: number;
  readonly headDim: number;
  /** Query heads that share the KV head. */
  readonly group: number;
  /** Rows held. */
  readonly tokens: number;
  /** After rope [tokens, headDim]. */
  readonly keys: Float32Array;
  /** [tokens, headDim]. */
  readonly values: Float32Array;
  /** Of each step, after rope [group, headDim]. */
  readonly queries: readonly Float32Array[];
  /** Positions of the steps' tokens. */
  readonly positions: readonly number[];
}

const ACTION = "capture attention";

/** A text that was read, open until it is closed. */
export class Capture implements Disposable {
  readonly #store: NativeStore;
  readonly #description: ModelDescription;
  readonly #sequence: bigint;
  /** Queries of each step [layers, queryHeads, headDim]. */
  readonly #queries: Float32Array[] = [];
  readonly #positions: number[] = [];
  #tokens = 0;

  private constructor(description: ModelDescription, tokens: number, threads: number) {
    const settings = settle({ mode: "full", threads: threads || undefined }, tokens, null, ACTION);
    this.#description = description;
    this.#store = NativeStore.open(settings, description, null, ACTION);
    try {
      this.#store.loadModel(description);
      this.#store.record();
      this.#sequence = this.#store.openSequence();
    } catch (error) {
      this.#store.close();
      throw error;
    }
  }

  /**
   * Reads `ids`; every `every`-th token runs as a step.
   *
   * @throws {SpecacheError} as opening a store does
   */
  static text(description: ModelDescription, ids: readonly number[], every: number, threads = 0) {
    const capture = new Capture(description, ids.length, threads);
    const logits = new Float32Array(capture.#store.vocabulary);
    for (let at = 0; at < ids.length;) {
      const end = Math.min(at + every, ids.length) - 1;
      if (end > at) capture.#prefill(ids.slice(at, end), null);
      capture.#step(ids[end], logits);
      at = end + 1;
    }
    return capture;
  }

  /**
   * Reads `ids`, then decodes `steps` tokens greedily, as steps.
   *
   * @throws {SpecacheError} as opening a store does
   */
  static answer(description: ModelDescription, ids: readonly number[], steps: number, threads = 0) {
    const capture = new Capture(description, ids.length + steps, threads);
    const request = settleRequest({}, capture.#store.settings, ACTION);
    const logits = new Float32Array(capture.#store.vocabulary);
    capture.#prefill(ids, logits);
    for (let step = 0; step < steps; step++) {
      const id = sample(logits, request, 0);
      if (description.eos.includes(id)) break;
      capture.#step(id, logits);
    }
    return capture;
  }

  /** Every KV head in turn; its arrays are made anew for each. */
  *heads(): Generator<HeadCapture> {
    const { layers, kvHeads, queryHeads, headDim } = this.#description;
    const group = queryHeads / kvHeads, tokens = this.#tokens;
    for (let layer = 0; layer < layers; layer++) {
      const rows = this.#store.rows(this.#sequence, layer, tokens, this.#description);
      for (let head = 0; head < kvHeads; head++) {
        const first = (layer * queryHeads + head * group) * headDim;
        yield {
          ...{ layer, head, headDim, group, tokens, positions: this.#positions },
          keys: ofHead(rows.keys, head, kvHeads, headDim),
          values: ofHead(rows.values, head, kvHeads, headDim),
          queries: this.#queries.map((step) => step.slice(first, first + group * headDim)),
        };
      }
    }
  }

  [Symbol.dispose](): void {
    this.#store.close();
  }

  #prefill(ids: readonly number[], logits: Float32Array | null): void {
    const piece = this.#store.settings.chunkTokens;
    for (let at = 0; at < ids.length; at += piece) {
      const last = at + piece >= ids.length;
      this.#store.prefill(this.#sequence, ids.slice(at, at + piece), last ? logits : null);
    }
    this.#tokens += ids.length;
  }

  #step(id: number, logits: Float32Array): void {
    this.#store.step(this.#sequence, [id], 1, { k: 0, late: "none" }, logits);
    this.#store.keep(this.#sequence, 1);
    this.#queries.push(this.#store.recorded(this.#description));
    this.#positions.push(this.#tokens++);
  }
}

function ofHead(rows: Float32Array, head: number, heads: number, dim: number): Float32Array {
  const out = new Float32Array(rows.length / heads);
  for (let at = 0; at * dim < out.length; at++) {
    const from = (at * heads + head) * dim;
    out.set(rows.subarray(from, from + dim), at * dim);
  }
  return out;
}
