// structs.ts - the structs of native/specache.h, written from plain objects into Uint32Arrays.
// Fields stand in the header's order. A "u64" takes two places, low then high; an "f32" its bits,
// an "f64" its bits as a "u64".
// tools/header.ts compares the tables with the header.
import { SpecacheError } from "../engine/errors.ts";

/** How a field is written. */
export type FieldType = "u32" | "u64" | "f32" | "f64";

/** Fields of a struct, in order. */
export type StructTable = Readonly<Record<string, FieldType>>;

/** A struct's fields as a plain object. */
export type FieldsOf<Table extends StructTable> = { readonly [Name in keyof Table]: number };

export const structs = {
  specache_config: {
    layers: "u32",
    kvHeads: "u32",
    queryHeads: "u32",
    headDim: "u32",
    kvType: "u32",
    scale: "f32",
    mode: "u32",
    rule: "u32",
    keyBits: "u32",
    valueBits: "u32",
    group: "u32",
    kMax: "u32",
    slots: "u32",
    far: "u32",
    farBytes: "u64",
    nearBytes: "u64",
    tokensMax: "u32",
    sequencesMax: "u32",
    pages: "u32",
    chunkTokens: "u32",
    guessesMax: "u32",
    threads: "u32",
    device: "u32",
    prefetch: "u32",
    logitsBytes: "u32",
    prefill: "u32",
    isa: "u32",
    audit: "u32",
    variant: "u32",
  },
  specache_profile: { valuePlanes: "u32", hasKeyBits: "u32", hasValues: "u32" },
  specache_options: { k: "u32", late: "u32", lateAbove: "f32" },
  specache_step_share: {
    sequence: "u64",
    inputs: "u32",
    trusted: "u32",
    k: "u32",
    late: "u32",
    lateAbove: "f32",
    logits: "u32",
  },
  specache_sampling: {
    temperature: "f64",
    topP: "f64",
    minP: "f64",
    topK: "u32",
    seed: "u64",
  },
  specache_model_config: {
    vocabulary: "u32",
    hidden: "u32",
    intermediate: "u32",
    tokensMax: "u32",
    epsilon: "f32",
    ropeNeighbours: "u32",
    ropeMagnitude: "f32",
    queryKeyNorms: "u32",
    tied: "u32",
    int8Activations: "u32",
  },
  specache_tensor: {
    role: "u32",
    layer: "u32",
    type: "u32",
    rows: "u32",
    columns: "u32",
    offset: "u64",
  },
} as const satisfies Readonly<Record<string, StructTable>>;

export type ConfigFields = FieldsOf<typeof structs.specache_config>;
export type ProfileFields = FieldsOf<typeof structs.specache_profile>;
export type OptionsFields = FieldsOf<typeof structs.specache_options>;
export type SamplingFields = FieldsOf<typeof structs.specache_sampling>;
export type ModelConfigFields = FieldsOf<typeof structs.specache_model_config>;
export type TensorFields = FieldsOf<typeof structs.specache_tensor>;

const U32_VALUES = 2 ** 32;

/** Writes a specache_config. */
export function writeConfig(fields: ConfigFields): Uint32Array {
  return write(structs.specache_config, fields);
}

/** Writes a specache_profile. */
export function writeProfile(fields: ProfileFields): Uint32Array {
  return write(structs.specache_profile, fields);
}

/** Writes a specache_options. */
export function writeOptions(fields: OptionsFields): Uint32Array {
  return write(structs.specache_options, fields);
}

/** What a specache_step_share is written from. */
export interface StepShareFields {
  readonly sequence: bigint;
  readonly inputs: { readonly length: number };
  readonly trusted: number;
  /** A specache_options. */
  readonly options: Uint32Array;
  /** null: none are asked for. */
  readonly logits: Float32Array | null;
  /** A specache_sampling: logits of undecided inputs alone. Left out: of all. */
  readonly sampling?: Uint32Array | null;
}

/** Writes a specache_sampling. */
export function writeSampling(fields: SamplingFields): Uint32Array {
  return write(structs.specache_sampling, fields);
}

/**
 * Writes a specache_step_share into `words` from place `at` on; answers the place behind it. Field
 * by field: each step does it, when its caches hold what the model read, and a table would show.
 */
export function writeStepShare(share: StepShareFields, words: Uint32Array, at: number): number {
  const sequence = Number(share.sequence);
  const { options } = share;
  words[at] = sequence % U32_VALUES;
  words[at + 1] = sequence / U32_VALUES;
  words[at + 2] = share.inputs.length;
  words[at + 3] = share.trusted;
  words[at + 4] = options[0];
  words[at + 5] = options[1];
  words[at + 6] = options[2];
  words[at + 7] = share.logits === null ? 0 : share.sampling ? 2 : 1;
  return at + 8;
}

/** Writes a specache_model_config. */
export function writeModelConfig(fields: ModelConfigFields): Uint32Array {
  return write(structs.specache_model_config, fields);
}

/** Writes a specache_tensor. */
export function writeTensor(fields: TensorFields): Uint32Array {
  return write(structs.specache_tensor, fields);
}

/** Places of a struct. */
export function wordsOf(table: StructTable): number {
  return Object.values(table).reduce(
    (words, type) => words + (type === "u64" || type === "f64" ? 2 : 1),
    0,
  );
}

function write<Table extends StructTable>(table: Table, fields: FieldsOf<Table>): Uint32Array {
  const words: number[] = [];
  for (const name in table) {
    const [type, value] = [table[name], fields[name]];
    if (type === "f32") {
      words.push(floatBits(name, value));
    } else if (type === "f64") {
      words.push(...doubleBits(name, value));
    } else {
      checkWhole(name, value, type === "u32" ? U32_VALUES - 1 : Number.MAX_SAFE_INTEGER);
      words.push(value % U32_VALUES);
      if (type === "u64") words.push(Math.floor(value / U32_VALUES));
    }
  }
  return new Uint32Array(words);
}

const float = new Float32Array(1);
const floatAsBits = new Uint32Array(float.buffer);

function floatBits(name: string, value: number): number {
  if (typeof value !== "number") refuse(name, value, "is not a number");
  float[0] = value;
  return floatAsBits[0];
}

const double = new Float64Array(1);
const doubleAsBits = new Uint32Array(double.buffer); // low, then high, as on every CPU we know

function doubleBits(name: string, value: number): Uint32Array {
  if (typeof value !== "number") refuse(name, value, "is not a number");
  double[0] = value;
  return doubleAsBits;
}

// The runtimes differ on numbers that do not fit: Deno throws, Bun wraps them silently.
function checkWhole(name: string, value: number, max: number): void {
  if (!Number.isInteger(value)) refuse(name, value, "is not a whole number");
  if (value < 0) refuse(name, value, "is below 0");
  if (value > max) refuse(name, value, `is above ${max}`);
}

function refuse(name: string, value: unknown, relation: string): never {
  throw new SpecacheError("argument", `Cannot call libspecache: ${name} ${value} ${relation}`, {
    details: { [name]: value },
  });
}
