// native_step.ts - a model's step of one or several sequences as the library takes it.
import {
  type OptionsFields,
  structs,
  wordsOf,
  writeOptions,
  writeSampling,
  writeStepShare,
} from "../ffi/structs.ts";
import type { Library } from "../ffi/library.ts";
import type { StepsAsk } from "./decode.ts";
import { SpecacheError } from "./errors.ts";
import type { Likeliest, Sampling } from "./sampler.ts";
import type { Request } from "./settings.ts";

const SHARE_WORDS = wordsOf(structs.specache_step_share);
const SAMPLING_WORDS = wordsOf(structs.specache_sampling);

/** The id of a token whose draw hangs on roundings: it is to be drawn from its logits. */
export const UNDECIDED = 0xfffffffe;

const LATE_NONE = 0;
const LATE_ALL = 1;
const LATE_ABOVE = 2;

/** What a step is asked to do. */
export type StepRequest = Pick<Request, "k" | "late">;

/** What a step does for one sequence. */
export interface StepShare {
  readonly sequence: bigint;
  readonly inputs: readonly number[];
  /** The first inputs that may be kept. */
  readonly trusted: number;
  /** A specache_options; optionsOf() writes it. */
  readonly options: Uint32Array;
  /** Takes logits (inputs, vocabulary); null: none are asked for. */
  readonly logits: Float32Array | null;
  /**
   * A specache_sampling; samplingOf() writes it. Its tokens are drawn, and logits are those of what
   * is UNDECIDED alone. Left out: tokens are the most probable ones.
   */
  readonly sampling?: Uint32Array | null;
}

/** What a store's steps are made on. */
interface Steppable {
  readonly library: Library;
  readonly id: bigint;
  readonly vocabulary: number;
}

/**
 * Steps of the sequences of a store, one at a time. What is lent to the library is made once:
 * buffers of each step's own took longer than the call.
 */
export class StepCall {
  #shares = new Uint32Array(SHARE_WORDS); // [sequences] specache_step_share
  #samplings = new Uint32Array(SAMPLING_WORDS); // [sequences] specache_sampling
  #tokens = new Uint32Array(1); // [inputs] u32
  #ids = new Uint32Array(1); // [inputs] u32
  #made = new Uint32Array(1); // [1] u32 steps of a row
  #largest = new Float32Array(1); // [inputs] f32
  #together = new Float32Array(0); // [inputs, vocabulary] f32, of several sequences
  /** What the step wrote logits to. */
  #logits: Float32Array | null = null;

  /** Makes a step; its status. */
  make({ library, id, vocabulary }: Steppable, shares: readonly StepShare[]): number {
    this.#logits = this.#logitsOf(shares, vocabulary);
    const draws = this.#write(shares);
    return library.symbols.specache_step(
      id,
      this.#shares,
      shares.length,
      this.#tokens,
      draws ? this.#samplings : null,
      this.#ids,
      this.#largest,
      this.#logits,
    );
  }

  /** What the inputs of each sequence predict, after a step of these with status ok. */
  predicted({ vocabulary }: Steppable, shares: readonly StepShare[]): Likeliest[][] {
    const all: Likeliest[][] = [];
    let row = 0;
    let number = 0;
    for (let share = 0; share < shares.length; share++) {
      const { inputs, logits, sampling } = shares[share];
      const predicted: Likeliest[] = [];
      let written = !sampling;
      for (const end = row + inputs.length; row < end; row++) {
        const id = this.#ids[row];
        if (id === UNDECIDED) written = true;
        predicted.push({ id, logit: this.#largest[row] });
      }
      all.push(predicted);
      if (logits === null) continue;
      const first = number;
      number += inputs.length * vocabulary;
      if (logits === this.#logits || !written) continue;
      logits.set(this.#together.subarray(first, number));
    }
    return all;
  }

  /** Makes steps in a row; their status. */
  makeInARow({ library, id, vocabulary }: Steppable, ask: StepsAsk): number {
    const shares = [ask.share];
    const logits = this.#logitsOf(shares, vocabulary);
    const draws = this.#write(shares);
    this.#reserve(1, ask.steps);
    return library.symbols.specache_decode(
      id,
      this.#shares,
      draws ? this.#samplings : null,
      ask.share.inputs[0],
      ask.steps,
      1000 * ask.milliseconds,
      ask.ends,
      ask.ends.length,
      this.#ids,
      this.#largest,
      logits,
      this.#made,
    );
  }

  /** What each of them predicts, with status ok. */
  predictedInARow(): Likeliest[] {
    const predicted: Likeliest[] = [];
    for (let row = 0; row < this.#made[0]; row++) {
      predicted.push({ id: this.#ids[row], logit: this.#largest[row] });
    }
    return predicted;
  }

  // Whether any draws.
  #write(shares: readonly StepShare[]): boolean {
    let rows = 0;
    let draws = false;
    for (let share = 0; share < shares.length; share++) rows += shares[share].inputs.length;
    this.#reserve(shares.length, rows);
    let word = 0;
    let row = 0;
    for (let share = 0; share < shares.length; share++) {
      const { inputs, sampling } = shares[share];
      word = writeStepShare(shares[share], this.#shares, word);
      if (sampling) draws = true;
      const from = share * SAMPLING_WORDS;
      for (let at = 0; at < SAMPLING_WORDS; at++) {
        this.#samplings[from + at] = sampling ? sampling[at] : 0;
      }
      for (let at = 0; at < inputs.length; at++) this.#tokens[row++] = inputs[at];
    }
    return draws;
  }

  #reserve(sequences: number, rows: number): void {
    const words = sequences * SHARE_WORDS;
    if (words > this.#shares.length) {
      this.#shares = new Uint32Array(words);
      this.#samplings = new Uint32Array(sequences * SAMPLING_WORDS);
    }
    if (rows <= this.#tokens.length) return;
    this.#tokens = new Uint32Array(rows);
    this.#ids = new Uint32Array(rows);
    this.#largest = new Float32Array(rows);
  }

  // Where the library writes logits: the only buffer that asks for some, or one for all that do.
  #logitsOf(shares: readonly StepShare[], vocabulary: number): Float32Array | null {
    let only: Float32Array | null = null;
    let asking = 0;
    let numbers = 0;
    for (let share = 0; share < shares.length; share++) {
      const { inputs, logits } = shares[share];
      if (logits === null) continue;
      const needed = inputs.length * vocabulary;
      if (logits.length < needed) { // the library would write behind its end
        const sentence = `Cannot decode a step: logits ${logits.length} are below ${needed}`;
        throw new SpecacheError("internal", sentence);
      }
      only = logits;
      asking++;
      numbers += needed;
    }
    if (asking < 2) return only;
    if (numbers > this.#together.length) this.#together = new Float32Array(numbers);
    return this.#together;
  }
}

/** The specache_options of a request. */
export function optionsOf(request: StepRequest): Uint32Array {
  return writeOptions(fieldsOf(request));
}

/** The specache_sampling of a request. */
export function samplingOf({ temperature, topP, minP, topK, seed }: Sampling): Uint32Array {
  return writeSampling({ temperature, topP, minP, topK, seed });
}

function fieldsOf({ k, late }: StepRequest): OptionsFields {
  const threshold = typeof late === "object";
  return {
    k,
    late: threshold ? LATE_ABOVE : late === "all" ? LATE_ALL : LATE_NONE,
    lateAbove: threshold ? late.above : 0,
  };
}
