// store_client.ts URL KEY - the raw store of `specache serve`, for a model of one's own that runs
// elsewhere: keys and values go there as bytes, and outputs of attention come back. URL is what the
// server printed, as http://127.0.0.1:8080/v1; KEY one of its keys, or "" where it asks for none.
//
// Here there is no model: each token's key are 64 signs of its own and its value the number of the
// token, so that whoever asks with a token's key must get its number.
import process from "node:process";

const TOKENS = 2_000;
const HEAD_DIM = 64;

async function main([url, key]: readonly string[]): Promise<void> {
  if (key === undefined) throw new Error("Usage: store_client.ts URL KEY");
  const store = await Store.open(url, key);
  const tokens = Array.from({ length: TOKENS }, (_, token) => token);
  await store.prefill(tokens.flatMap(signs), tokens.flatMap(number));
  for (const token of [7, 700, 1_900]) {
    const [found] = await store.attend(signs(token), signs(TOKENS), number(TOKENS));
    console.log(`${token}: ${found.toFixed(1)}`);
  }
  const { length, bytes } = await store.close();
  console.log(`${length} tokens, ${bytes.near} of ${bytes.full} bytes near`);
}

interface Told {
  readonly id: string;
  readonly length: number;
  readonly bytes: { readonly near: number; readonly full: number };
}

/** A store on the server: one layer, one head. */
class Store {
  private constructor(readonly ask: Ask, readonly path: string) {}

  static async open(url: string, key: string): Promise<Store> {
    const ask = asking(url, key);
    const shape = { layers: 1, kvHeads: 1, queryHeads: 1, headDim: HEAD_DIM };
    // A scale of 1 makes logits of equal signs 64, and of others about 0; bf16, the default, has no
    // number between 1,896 and 1,904.
    const options = { ...shape, contextTokens: 4_096, scale: 1, kvType: "f32" };
    const body = JSON.stringify(options);
    const { id }: Told = await (await ask("/stores", "application/json", body)).json();
    return new Store(ask, `/stores/${id}`);
  }

  /** Adds a run of tokens: keys and values [tokens, 1, HEAD_DIM]. */
  async prefill(keys: readonly number[], values: readonly number[]): Promise<void> {
    await this.#numbers("prefill", { keys, values });
  }

  /** One step of one token: what attention gives for its query [1, 1, HEAD_DIM]. */
  async attend(
    queries: readonly number[],
    keys: readonly number[],
    values: readonly number[],
  ): Promise<Float32Array> {
    await this.#call("begin", { inputs: 1 });
    const response = await this.#numbers("attend", { keys, values, queries });
    await this.#call("end", { keep: 0 }); // it only looked
    return new Float32Array(await response.arrayBuffer());
  }

  /** Gives its memory back, and tells what it held. */
  async close(): Promise<Told> {
    const told = await (await this.ask(this.path)).json();
    await this.ask(this.path, "DELETE");
    return told;
  }

  async #call(verb: string, options: object): Promise<void> {
    await this.ask(`${this.path}/${verb}`, "application/json", JSON.stringify(options));
  }

  // Tensors one behind the other, in the order of the query string, which tells their shapes.
  async #numbers(
    verb: string,
    tensors: Readonly<Record<string, readonly number[]>>,
  ): Promise<Response> {
    const query = new URLSearchParams({ layer: "0", dtype: "f32" });
    for (const [name, numbers] of Object.entries(tensors)) {
      query.set(name, `${numbers.length / HEAD_DIM},1,${HEAD_DIM}`);
    }
    const body = new Float32Array(Object.values(tensors).flat());
    return await this.ask(`${this.path}/${verb}?${query}`, "application/octet-stream", body);
  }
}

type Ask = ReturnType<typeof asking>;

function asking(url: string, key: string) {
  return async (path: string, type = "GET", body?: BodyInit): Promise<Response> => {
    const headers = { authorization: `Bearer ${key}`, "content-type": type };
    const method = body === undefined ? type : "POST";
    const response = await fetch(url + path, { method, headers, body }).catch(() => {
      throw new Error(`Cannot reach ${url}; specache serve prints the URL`);
    });
    if (response.ok) return response;
    throw new Error((await response.json()).error.message);
  };
}

// HEAD_DIM signs that stand for a number, mixed as MurmurHash3 does it.
function signs(token: number): number[] {
  return Array.from({ length: HEAD_DIM }, (_, i) => {
    let word = Math.imul(token * HEAD_DIM + i + 1, 0x9e3779b1);
    word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
    word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
    return (word ^ (word >>> 16)) & 1 ? 1 : -1;
  });
}

function number(token: number): number[] {
  return Array.from({ length: HEAD_DIM }, () => token);
}

await main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 2;
});
