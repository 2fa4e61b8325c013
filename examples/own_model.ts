// own_model.ts - a transformer of one's own on KvStore. It is small enough to read: two layers of
// attention, weights made by hand, so that it needs no training to do one thing well: of a token
// that it has seen before, it tells the token that followed. Layer 0 looks one position back;
// layer 1 looks for where the present token was the one before. (Such a pair is known as induction
// heads; models that were trained form them by themselves.)
//
//   deno run -A examples/own_model.ts        or        bun examples/own_model.ts
//
// A model that was trained goes the same way: project, hand queries (after rope), keys (after
// rope) and values to the store, project what comes back, and do all the rest itself.
import { ensureLibrary, KvStore } from "@specache/specache";

const VOCABULARY = 1_000;
const LAYERS = 2;
const HEADS = 1; // query heads and KV heads
const HEAD_DIM = 64;

// The residual stream [WIDTH] of a token, in parts of HEAD_DIM channels.
const parts = { token: 0, position: 1, positionBefore: 2, tokenBefore: 3, follower: 4 };
type Part = keyof typeof parts;
const WIDTH = Object.keys(parts).length * HEAD_DIM;

// Weights of a layer: projections from the residual stream and back.
interface Layer {
  readonly query: Float32Array; // [HEAD_DIM, WIDTH]
  readonly key: Float32Array; // [HEAD_DIM, WIDTH]
  readonly value: Float32Array; // [HEAD_DIM, WIDTH]
  readonly output: Float32Array; // [WIDTH, HEAD_DIM]
}

const layers: readonly Layer[] = [
  {
    query: reading("positionBefore"),
    key: reading("position"),
    value: reading("token"),
    output: writing("tokenBefore"),
  },
  {
    query: reading("token"),
    key: reading("tokenBefore"),
    value: reading("token"),
    output: writing("follower"),
  },
];

/** A text in the store, one model's. */
export class OwnModel implements Disposable {
  /** Where keys and values are. */
  readonly store: KvStore;

  /** Reserves memory for `contextTokens`. */
  constructor(contextTokens: number) {
    this.store = KvStore.open({
      ...{ layers: LAYERS, kvHeads: HEADS, queryHeads: HEADS, headDim: HEAD_DIM },
      contextTokens,
      scale: 1, // of the logits; a trained model has 1/sqrt(headDim), which is the default
    });
  }

  /** Reads a prompt, layer by layer; answers the most probable next token. */
  prefill(ids: readonly number[]): number {
    const stream = embed(ids, this.store.length);
    layers.forEach((layer, index) => {
      const outputs = this.store.prefill(index, projected(layer, stream));
      addOutputs(layer, stream, outputs!);
    });
    return likeliest(stream.subarray(-WIDTH));
  }

  /** Reads one token; answers the most probable next one. */
  step(id: number): number {
    const stream = embed([id], this.store.length);
    this.store.begin({ inputs: 1 });
    layers.forEach((layer, index) => {
      const outputs = this.store.attend(index, projected(layer, stream));
      addOutputs(layer, stream, outputs);
    });
    this.store.end({ keep: 1 });
    return likeliest(stream);
  }

  /** The `count` tokens that follow `id`. */
  generate(id: number, count: number): number[] {
    return Array.from({ length: count }, () => id = this.step(id));
  }

  /** Gives the memory back. */
  [Symbol.dispose](): void {
    this.store.close();
  }
}

// Queries, keys and values [tokens, HEADS, HEAD_DIM] of a stream [tokens, WIDTH].
function projected({ query, key, value }: Layer, stream: Float32Array) {
  return {
    queries: product(query, stream, WIDTH),
    keys: product(key, stream, WIDTH),
    values: product(value, stream, WIDTH),
  };
}

// Adds what attention gave [tokens, HEADS, HEAD_DIM] to the stream [tokens, WIDTH].
function addOutputs({ output }: Layer, stream: Float32Array, outputs: Float32Array): void {
  product(output, outputs, HEAD_DIM).forEach((number, i) => stream[i] += number);
}

// Each row [columns] of `inputs` times `matrix` [rows, columns]: [inputs.length / columns, rows].
function product(matrix: Float32Array, inputs: Float32Array, columns: number): Float32Array {
  const rows = matrix.length / columns;
  const count = inputs.length / columns;
  const outputs = new Float32Array(count * rows);
  for (let input = 0; input < count; input++) {
    for (let row = 0; row < rows; row++) {
      let sum = 0;
      for (let i = 0; i < columns; i++) {
        sum += matrix[row * columns + i] * inputs[input * columns + i];
      }
      outputs[input * rows + row] = sum;
    }
  }
  return outputs;
}

// The residual stream [ids.length, WIDTH] of tokens from a position on.
function embed(ids: readonly number[], first: number): Float32Array {
  const stream = new Float32Array(ids.length * WIDTH);
  ids.forEach((id, i) => {
    const write = (part: Part, numbers: Float32Array) =>
      stream.set(numbers, i * WIDTH + parts[part] * HEAD_DIM);
    write("token", signs(id));
    write("position", signs(VOCABULARY + first + i));
    write("positionBefore", signs(VOCABULARY + first + i - 1));
  });
  return stream;
}

// Logits are products of what layer 1 found with each token's own numbers.
function likeliest(stream: Float32Array): number {
  const found = stream.subarray(parts.follower * HEAD_DIM, WIDTH);
  const logits = Array.from({ length: VOCABULARY }, (_, id) => dot(found, signs(id)));
  return logits.indexOf(Math.max(...logits));
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, number, i) => sum + number * b[i], 0);
}

// HEAD_DIM signs that stand for a number, always the same ones, mixed as MurmurHash3 does it: the
// product of two numbers' signs is far below HEAD_DIM.
function signs(number: number): Float32Array {
  return Float32Array.from({ length: HEAD_DIM }, (_, i) => {
    let word = Math.imul(number * HEAD_DIM + i + 1, 0x9e3779b1);
    word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
    word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
    return (word ^ (word >>> 16)) & 1 ? 1 : -1;
  });
}

// [HEAD_DIM, WIDTH]: takes a part out of the residual stream.
function reading(part: Part): Float32Array {
  const matrix = new Float32Array(HEAD_DIM * WIDTH);
  for (let i = 0; i < HEAD_DIM; i++) matrix[i * WIDTH + parts[part] * HEAD_DIM + i] = 1;
  return matrix;
}

// [WIDTH, HEAD_DIM]: puts outputs into a part of it.
function writing(part: Part): Float32Array {
  const matrix = new Float32Array(WIDTH * HEAD_DIM);
  for (let i = 0; i < HEAD_DIM; i++) matrix[(parts[part] * HEAD_DIM + i) * HEAD_DIM + i] = 1;
  return matrix;
}

if (import.meta.main) {
  // Tokens below 900 come again and again; the six from 900 on come once, deep in the text.
  const fact = [900, 901, 902, 903, 904, 905];
  const text = Array.from({ length: 4_000 }, (_, i) => (i * 7_919 + (i >> 5)) % 900);
  text.splice(700, 0, ...fact);

  await ensureLibrary(); // builds the native library at the first run
  using model = new OwnModel(8_192);
  for (let at = 0; at < text.length; at += 512) model.prefill(text.slice(at, at + 512));
  const recalled = model.generate(fact[0], fact.length - 1);
  console.log(`after ${fact[0]}: ${recalled.join(" ")}`);

  const { tokens, nearBytes, fullBytes } = model.store.stats();
  const share = (100 * nearBytes / fullBytes).toFixed(1);
  console.log(`${tokens} tokens, near memory ${share} % of a 16-bit cache`);
}
