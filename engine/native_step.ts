// native_step.ts - a model's step of one or several sequences as the library takes it.
import {
  type OptionsFields,
  type StepShareFields,
  writeOptions,
  writeStepShares,
} from "../ffi/structs.ts";
import type { Library } from "../ffi/library.ts";
import { SpecacheError } from "./errors.ts";
import type { Likeliest } from "./sampler.ts";
import type { Request } from "./settings.ts";

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
  readonly request: StepRequest;
  /** Takes logits (inputs, vocabulary); null: none are asked for. */
  readonly logits: Float32Array | null;
}

interface Stepped {
  readonly status: number;
  /** What the inputs of each sequence predict, where the status is ok. */
  predicted(): Likeliest[][];
}

/** One step of the sequences of a store. */
export function nativeStep(
  { library, id, vocabulary }: {
    readonly library: Library;
    readonly id: bigint;
    readonly vocabulary: number;
  },
  shares: readonly StepShare[],
): Stepped {
  const [tokens, fields]: [number[], StepShareFields[]] = [[], []];
  for (const share of shares) {
    tokens.push(...share.inputs);
    fields.push(shareOf(share));
  }
  const ids = new Uint32Array(tokens.length);
  const largest = new Float32Array(tokens.length);
  const logits = logitsOf(shares, vocabulary);
  const status = library.symbols.specache_step(
    id,
    writeStepShares(fields),
    shares.length,
    new Uint32Array(tokens),
    ids,
    largest,
    logits,
  );
  return {
    status,
    predicted() {
      const all: Likeliest[][] = [];
      let [row, number] = [0, 0];
      for (const { inputs, logits: to } of shares) {
        if (to !== null && to !== logits) {
          to.set(logits!.subarray(number, number += inputs.length * vocabulary));
        }
        const predicted: Likeliest[] = [];
        for (const end = row + inputs.length; row < end; row++) {
          predicted.push({ id: ids[row], logit: largest[row] });
        }
        all.push(predicted);
      }
      return all;
    },
  };
}

// Where the library writes logits: the only buffer that asks for some, or one for all that do.
function logitsOf(shares: readonly StepShare[], vocabulary: number): Float32Array | null {
  const asking: Float32Array[] = [];
  let numbers = 0;
  for (const { inputs, logits } of shares) {
    if (logits === null) continue;
    const needed = inputs.length * vocabulary;
    if (logits.length < needed) { // the library would write behind its end
      const sentence = `Cannot decode a step: logits ${logits.length} are below ${needed}`;
      throw new SpecacheError("internal", sentence);
    }
    numbers += needed;
    asking.push(logits);
  }
  return asking.length > 1 ? new Float32Array(numbers) : asking[0] ?? null;
}

/** The specache_options of a request. */
export function optionsOf(request: StepRequest): Uint32Array {
  return writeOptions(fieldsOf(request));
}

function fieldsOf({ k, late }: StepRequest): OptionsFields {
  const threshold = typeof late === "object";
  return {
    k,
    late: threshold ? LATE_ABOVE : late === "all" ? LATE_ALL : LATE_NONE,
    lateAbove: threshold ? late.above : 0,
  };
}

function shareOf({ sequence, inputs, trusted, request, logits }: StepShare): StepShareFields {
  const { k, late, lateAbove } = fieldsOf(request);
  const [id, count, asks] = [Number(sequence), inputs.length, logits === null ? 0 : 1];
  return { sequence: id, inputs: count, trusted, k, late, lateAbove, logits: asks };
}
