// profile.ts - a profile for tests: identity bases, head_dim / 4 planes on the first channels.

/** Sizes of a model. */
export interface Sizes {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** The bytes of a profile as safetensors: 1 and 2 bits of keys by turns, weights of 1. */
export function profileBytes({ layers, kvHeads, headDim }: Sizes): Uint8Array {
  const heads = layers * kvHeads;
  const planes = headDim / 4;
  const bases = new Float32Array(heads * headDim * headDim);
  for (let at = 0; at < bases.length; at++) {
    bases[at] = Math.floor(at / headDim) % headDim === at % headDim ? 1 : 0;
  }
  const channels = Uint32Array.from({ length: heads * planes }, (_, at) => at % planes);
  const weights = new Float32Array(heads * planes).fill(1);
  const bits = Uint8Array.from({ length: heads }, (_, at) => 1 + at % 2);
  return safetensors([
    ["valueBasis", "F32", [layers, kvHeads, headDim, headDim], new Uint8Array(bases.buffer)],
    ["valuePlaneChannel", "U32", [layers, kvHeads, planes], new Uint8Array(channels.buffer)],
    ["valuePlaneWeight", "F32", [layers, kvHeads, planes], new Uint8Array(weights.buffer)],
    ["keyBits", "U8", [layers, kvHeads], bits],
  ]);
}

type Tensor = readonly [name: string, dtype: string, shape: readonly number[], data: Uint8Array];

function safetensors(tensors: readonly Tensor[]): Uint8Array {
  let end = 0;
  const entries = Object.fromEntries(tensors.map(([name, dtype, shape, data]) => {
    const start = end;
    end += data.length;
    return [name, { dtype, shape, data_offsets: [start, end] }];
  }));
  const header = { __metadata__: { version: "1" }, ...entries };
  const json = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + json.length + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  let at = 8 + json.length;
  for (const [, , , data] of tensors) {
    file.set(data, at);
    at += data.length;
  }
  return file;
}
