// store_request.ts - what requests to raw stores say: options of a new one, and the layer, dtype
// and shapes of a body of numbers.
import { z } from "zod";
import { type KvStoreOptions, kvStoreOptions } from "../engine/config.ts";
import { SpecacheError } from "../engine/errors.ts";
import { parse } from "../engine/parse.ts";
import { RequestError } from "./errors.ts";
import { bytesFor, type Declared, type Dtype, DTYPES, tensorsOf, wrongBytes } from "./tensor.ts";

/** Options that the server chooses: what runs a store, and files of its host. */
export const SERVER_OPTIONS: readonly (keyof KvStoreOptions)[] = ["device", "prefetch", "isa"];

/** Sizes of a store that shapes are judged by. */
export type StoreSizes = Pick<
  KvStoreOptions,
  "layers" | "kvHeads" | "queryHeads" | "headDim" | "contextTokens"
>;

/**
 * Reads the body of a request for a new store.
 *
 * @throws {SpecacheError} argument: also a file of the host, or what runs it
 */
export function storeRequestOf(body: object): KvStoreOptions {
  const options = parse(kvStoreOptions, body, OPEN);
  const { far = "ram", profile = "none", threads = 1 } = options;
  if (far !== "ram") refuse(OPEN, "far", "of a request is not ram: files are the server's own");
  if (profile !== "none") {
    refuse(OPEN, "profile", "of a request is not none: files are the server's own");
  }
  const name = SERVER_OPTIONS.find((each) => options[each] !== undefined);
  if (name !== undefined) refuse(OPEN, name, "of a request is the server's own to choose");
  const most = navigator.hardwareConcurrency;
  if (threads > most) refuse(OPEN, "threads", `${threads} is above the server's ${most}`);
  return options;
}

const OPEN = "open a store";

/** A body of numbers: of what layer, of what type, and how many of what. */
export interface NumbersQuery {
  readonly layer: string;
  readonly dtype: Dtype;
  /** Shapes: tokens,heads,channels. */
  readonly keys: string;
  readonly values: string;
  readonly queries?: string;
}

const shape = z.string().regex(/^\d{1,8},\d{1,8},\d{1,8}$/, {
  error: "is not tokens,heads,channels",
});

const numbersFields = {
  layer: z.string().regex(/^\d{1,4}$/, { error: "is no number of a layer" }),
  dtype: z.enum(DTYPES),
  keys: shape,
  values: shape,
};

/** Checks {@linkcode NumbersQuery} of prefill. */
export const prefillQuery: z.ZodType<NumbersQuery> = z.strictObject({
  ...numbersFields,
  queries: shape.optional(),
});

/** Checks {@linkcode NumbersQuery} of attend. */
export const attendQuery: z.ZodType<NumbersQuery> = z.strictObject({
  ...numbersFields,
  queries: shape,
});

/** What a body of numbers is said to hold, in its order. */
export interface NumbersRequest {
  readonly action: string;
  readonly layer: number;
  readonly dtype: Dtype;
  readonly declared: readonly (Declared & { readonly name: "keys" | "values" | "queries" })[];
  /** That the tensors need. */
  readonly bytes: number;
  /** The error of a body that has another number of bytes. */
  readonly wrong: (bytes: number) => SpecacheError;
}

/**
 * Reads a query string, and judges its shapes by the store's sizes and by what a body may have.
 *
 * @throws {SpecacheError} argument
 * @throws {RequestError} 400: more tokens than the store ever holds; 413: a body above `bytesMax`
 */
export function numbersRequestOf(
  verb: "prefill" | "attend",
  query: object,
  sizes: StoreSizes,
  bytesMax: number,
): NumbersRequest {
  const asked = parse(verb === "prefill" ? prefillQuery : attendQuery, query, `${verb} a layer`);
  const action = `${verb} layer ${Number(asked.layer)}`;
  const { kvHeads, queryHeads, headDim, contextTokens = Infinity } = sizes;
  const tokens = Number(asked.keys.split(",", 1)[0]);
  const wanted = { keys: kvHeads, values: kvHeads, queries: queryHeads };
  const declared: NumbersRequest["declared"][number][] = [];
  for (const name of ["keys", "values", "queries"] as const) {
    const shape = asked[name]?.split(",").map(Number);
    if (shape === undefined) continue;
    const right = [tokens, wanted[name], headDim];
    if (tokens === 0 || String(shape) !== String(right)) {
      const needed = `${name === "keys" ? "tokens" : tokens},${wanted[name]},${headDim}`;
      refuse(action, name, `${shape} is not ${needed} of this store`);
    }
    declared.push({ name, shape });
  }
  if (tokens > contextTokens) {
    const sentence = `Cannot ${action}: ${tokens} tokens are above contextTokens ${contextTokens}`;
    throw new RequestError(400, "capacity", sentence, "keys");
  }
  const { dtype } = asked;
  const bytes = bytesFor(dtype, declared);
  if (bytes > bytesMax) {
    const sentence = `Cannot ${action}: ${bytes} bytes of ${tokens} tokens are above ${bytesMax}`;
    throw new RequestError(413, "body_too_large", sentence, "body");
  }
  const wrong = (has: number) => wrongBytes(action, has, dtype, declared);
  return { action, layer: Number(asked.layer), dtype, declared, bytes, wrong };
}

/** The tensors of a body. */
export interface Numbers {
  readonly keys: Float32Array;
  readonly values: Float32Array;
  readonly queries?: Float32Array;
}

/**
 * The numbers of a body, by name.
 *
 * @throws {SpecacheError} argument: there are more or fewer bytes than the shapes need
 */
export function numbersOf(
  { action, dtype, declared }: NumbersRequest,
  bytes: Uint8Array<ArrayBuffer>,
): Numbers {
  const tensors = tensorsOf(action, bytes, dtype, declared);
  const named = declared.map(({ name }, at) => [name, tensors[at]] as const);
  return Object.fromEntries(named) as unknown as Numbers;
}

function refuse(action: string, name: string, fault: string): never {
  throw new SpecacheError("argument", `Cannot ${action}: ${name} ${fault}`, { details: { name } });
}
