// fake_store.ts - a store without a model: pages are counted as the library counts them, and what
// stands behind a text follows from every token of it and from whether that was read or stepped.
import type { DecodeState } from "../../engine/decode_state.ts";
import { SpecacheError } from "../../engine/errors.ts";
import type { NativeStore, Pages, SequencePages, StepShare } from "../../engine/native.ts";
import type { StepsAsk } from "../../engine/decode.ts";
import { UNDECIDED } from "../../engine/native.ts";
import type { Likeliest } from "../../engine/sampler.ts";
import { type Settings, settle } from "../../engine/settings.ts";
import { type CacheStats, noStats } from "../../engine/stats.ts";

const PAGE = 64;
const VOCABULARY = 64;
const EOS = 0;

interface FakeSequence {
  /** One for each token: of it, all before it, and how they came. */
  hashes: number[];
  ids: number[];
  pages: number[];
  step: { readonly inputs: readonly number[]; readonly trusted: number } | null;
}

/** Counts what would be in a store. */
export class FakeStore {
  readonly settings: Settings;
  readonly vocabulary = VOCABULARY;
  readonly #sequences = new Map<bigint, FakeSequence>();
  readonly #references: number[];
  #opened = 0n;

  /** All pages are free. */
  constructor(options: Parameters<typeof settle>[0], tokensMax: number) {
    this.settings = settle(options, tokensMax, null, "open");
    const { pagesMax, sequencesMax } = this.settings;
    const pages = pagesMax || sequencesMax * Math.ceil(tokensMax / PAGE);
    this.#references = Array(pages).fill(0);
  }

  /** As the library's. */
  get native(): NativeStore {
    return this as unknown as NativeStore;
  }

  /** Sequences that are open. */
  get open(): number {
    return this.#sequences.size;
  }

  openSequence(): bigint {
    if (this.#sequences.size >= this.settings.sequencesMax) throw fault("sequences");
    this.#sequences.set(++this.#opened, { hashes: [], ids: [], pages: [], step: null });
    return this.#opened;
  }

  fork(id: bigint): bigint {
    const { hashes, ids, pages } = this.#of(id);
    const fork = this.openSequence();
    const shared = pages.slice(0, Math.floor(ids.length / PAGE));
    for (const page of shared) this.#references[page]++;
    this.#sequences.set(fork, { hashes: [...hashes], ids: [...ids], pages: shared, step: null });
    return fork;
  }

  truncate(id: bigint, tokens: number): void {
    const sequence = this.#of(id);
    if (sequence.step !== null || tokens > sequence.ids.length) throw fault("truncate");
    if (tokens === sequence.ids.length) return;
    sequence.ids.length = sequence.hashes.length = tokens;
    this.#drop(sequence, Math.floor(tokens / PAGE));
  }

  closeSequence(id: bigint): void {
    this.#drop(this.#of(id), 0);
    this.#sequences.delete(id);
  }

  pages(): Pages {
    const free = this.#references.filter((count) => count === 0).length;
    return { free, all: this.#references.length };
  }

  sequencePages(id: bigint): SequencePages {
    const { pages } = this.#of(id);
    const own = pages.filter((page) => this.#references[page] === 1).length;
    return { held: pages.length, own };
  }

  stats(id: bigint, guess: DecodeState["guessStats"]): CacheStats {
    return { ...noStats("specache"), tokens: this.#of(id).ids.length, guess };
  }

  prefill(id: bigint, ids: readonly number[], logits: Float32Array | null): boolean {
    const sequence = this.#of(id);
    this.#reserve(sequence, Math.ceil((sequence.ids.length + ids.length) / PAGE));
    for (const token of ids) push(sequence, token, 1);
    logits?.set(logitsOf(sequence));
    return true;
  }

  steps(shares: readonly StepShare[]): Likeliest[][] {
    return shares.map(({ sequence: id, inputs, trusted, logits, sampling }) => {
      const sequence = this.#of(id);
      if (sequence.step !== null || inputs.length > 1 + this.settings.guessesMax) {
        throw fault("step");
      }
      this.#reserve(sequence, Math.floor((sequence.ids.length + trusted) / PAGE));
      sequence.step = { inputs, trusted };
      const ahead = { ...sequence, ids: [...sequence.ids], hashes: sequence.hashes.slice(-1) };
      return inputs.map((input, at) => {
        push(ahead, input, 2);
        const row = logitsOf(ahead);
        logits?.set(row, at * VOCABULARY);
        const logit = Math.max(...row);
        return { id: sampling ? UNDECIDED : row.indexOf(logit), logit };
      });
    });
  }

  inARow({ share, steps, ends }: StepsAsk): Likeliest[] {
    const all: Likeliest[] = [];
    let inputs = share.inputs;
    while (all.length < steps) {
      let predicted: Likeliest;
      try {
        [predicted] = this.steps([{ ...share, inputs }])[0];
      } catch (error) {
        if (all.length === 0) throw error;
        break;
      }
      all.push(predicted);
      if (predicted.id === UNDECIDED) break;
      this.keep(share.sequence, 1);
      if (ends.includes(predicted.id)) break;
      inputs = [predicted.id];
    }
    return all;
  }

  keep(id: bigint, count: number): boolean {
    const sequence = this.#of(id);
    if (sequence.step === null || count > sequence.step.trusted) throw fault("keep");
    for (const input of sequence.step.inputs.slice(0, count)) push(sequence, input, 2);
    sequence.step = null;
    this.#drop(sequence, Math.ceil(sequence.ids.length / PAGE));
    return true;
  }

  #of(id: bigint): FakeSequence {
    const sequence = this.#sequences.get(id);
    if (sequence === undefined) throw fault("handle");
    return sequence;
  }

  #reserve(sequence: FakeSequence, pages: number): void {
    while (sequence.pages.length < pages) {
      const page = this.#references.indexOf(0);
      if (page === -1) throw fault("pages");
      this.#references[page] = 1;
      sequence.pages.push(page);
    }
  }

  #drop({ pages }: FakeSequence, keep: number): void {
    while (pages.length > keep) this.#references[pages.pop()!]--;
  }
}

function push(sequence: Pick<FakeSequence, "ids" | "hashes">, id: number, way: 1 | 2): void {
  const before = sequence.hashes.at(-1) ?? 7;
  const mixed = Math.imul(before ^ id << 2 ^ way, 0x9e3779b1);
  sequence.hashes.push(mixed ^ mixed >>> 15);
  sequence.ids.push(id);
}

// Every fourth token follows from all before it, the others from the last alone: so texts repeat
// themselves, and lookups are right at times.
function logitsOf({ ids, hashes }: Pick<FakeSequence, "ids" | "hashes">): Float32Array {
  const hash = hashes.at(-1)! >>> 4;
  const last = Math.imul(ids.at(-1)! + 1, 0x85ebca6b) >>> 8;
  const next = ids.length % 4 === 0 ? hash : last;
  const logits = new Float32Array(VOCABULARY);
  for (let id = 0; id < VOCABULARY; id++) logits[id] = (next * (id + 3)) % 251 / 25;
  if (hash % 2000 !== 0) logits[EOS] = -9;
  else logits[EOS] = 99;
  return logits;
}

// A request never hears of one: what it may not have is not asked of the store.
function fault(name: string): SpecacheError {
  return new SpecacheError("internal", `The fake store was asked for too much: ${name}`);
}
