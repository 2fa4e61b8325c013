// Raw stores over HTTP answer the bits that KvStore does in this process.
import { ensureLibrary, KvStore, type KvStoreOptions, StoreThread } from "../../mod.ts";
import { bytesOfNumbers } from "../../routes/tensor.ts";
import type { ServedStore, ServedStores } from "../../routes/app.ts";
import { assert, assertEquals, assertLessOrEqual, assertMatch, test } from "../harness.ts";
import { type Answer, type Asker, asking, assertRefused } from "./ask.ts";

await ensureLibrary();

const path = "/v1/stores";
const sizes = { layers: 2, kvHeads: 2, queryHeads: 4, headDim: 16 };
const options: KvStoreOptions = { ...sizes, contextTokens: 256, threads: 1, k: 32 };

type Tensors = Record<"keys" | "values" | "queries", Float32Array<ArrayBuffer>>;

function project(tokens: number, heads: number, seed: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: tokens * heads * 16 }, (_, at) => Math.sin(at * seed + seed));
}

function tensors(tokens: number, seed = 1): Tensors {
  const [keys, values] = [project(tokens, 2, seed), project(tokens, 2, seed + 1)];
  return { keys, values, queries: project(tokens, 4, seed + 2) };
}

function bytesOf({ keys, values, queries }: Partial<Tensors>): Uint8Array<ArrayBuffer> {
  const all = [keys, values, queries].flatMap((each) => each ? [...bytesOfNumbers(each)] : []);
  return new Uint8Array(all);
}

function query(layer: number, tokens: number, queries = true, dtype = "f32"): string {
  const shapes = `keys=${tokens},2,16&values=${tokens},2,16`;
  return `layer=${layer}&dtype=${dtype}&${shapes}${queries ? `&queries=${tokens},4,16` : ""}`;
}

function served(more: object = {}) {
  return asking({ stores: KvStore, ...more });
}

async function opened(asker: Asker, more: object = {}): Promise<string> {
  const { status, body } = await asker.post(path, { ...options, ...more });
  assertEquals(status, 201, JSON.stringify(body));
  return `${path}/${body.id}`;
}

function assertOutputs({ status, headers, body }: Answer, outputs: Float32Array, tokens: number) {
  assertEquals([status, headers.get("Content-Type")], [200, "application/octet-stream"]);
  const told = [headers.get("Specache-Dtype"), headers.get("Specache-Shape")];
  assertEquals(told, ["f32", `${tokens},4,16`]);
  assertEquals(body, bytesOfNumbers(outputs));
}

const cases = (["full", "paper", "specache"] as const).flatMap((mode) => [
  { mode, onThread: false },
  { mode, onThread: true },
]);

for (const { mode, onThread } of cases) {
  const where = onThread ? "on a thread" : "on this thread";
  test(`a store over HTTP, mode ${mode} ${where}, answers what KvStore does`, async () => {
    await using thread = new StoreThread();
    const asker = served(onThread ? { stores: thread } : {});
    const store = await opened(asker, { mode });
    using own = KvStore.open({ ...options, mode });
    const run = tensors(130);
    for (const layer of [0, 1]) {
      const answer = await asker.bytes(`${store}/prefill?${query(layer, 130)}`, bytesOf(run));
      assertOutputs(answer, own.prefill(layer, run)!, 130);
    }
    const inputs = 2;
    const trusted = mode === "paper" ? 1 : 2;
    const begun = await asker.post(`${store}/begin`, { inputs, trusted });
    assertEquals(begun.body, { length: 130 });
    own.begin({ inputs, trusted });
    const step = tensors(inputs, 3);
    for (const layer of [0, 1]) {
      const answer = await asker.bytes(`${store}/attend?${query(layer, inputs)}`, bytesOf(step));
      assertOutputs(answer, own.attend(layer, step), inputs);
    }
    assertEquals((await asker.post(`${store}/end`, { keep: trusted })).body, {
      length: 130 + trusted,
    });
    own.end({ keep: trusted });
    const { body } = await asker.get(store);
    const { fetch: _, ...told } = body.stats;
    const { fetch: __, ...stats } = own.stats();
    assertEquals(told, JSON.parse(JSON.stringify(stats)));
    assertEquals((await asker.post(`${store}/truncate`, { tokens: 100 })).body, { length: 100 });
    asker.close();
  });
}

test("a run without queries is read and not answered", async () => {
  const asker = served();
  const store = await opened(asker);
  const { keys, values } = tensors(3);
  for (const layer of [1, 0]) {
    const body = bytesOf({ keys, values });
    const answer = await asker.bytes(`${store}/prefill?${query(layer, 3, false)}`, body);
    assertEquals([answer.status, answer.body], [204, ""]);
  }
  assertEquals((await asker.get(store)).body.length, 3);
  asker.close();
});

test("bf16 and f16 are the numbers that they stand for", async () => {
  for (const dtype of ["bf16", "f16"]) {
    const asker = served();
    const store = await opened(asker, { mode: "full", kvType: "f32" });
    using own = KvStore.open({ ...options, mode: "full", kvType: "f32" });
    // Quarters from -2 to 2 have the same value in all three types.
    const numbers = Float32Array.from({ length: 2 * 8 * 16 }, (_, at) => (at * 5 % 17 - 8) / 4);
    const [bits, halves] = [new Uint32Array(numbers.buffer), new Uint16Array(numbers.length)];
    bits.forEach((each, at) => {
      const [sign, exponent, fraction] = [each >>> 31 << 15, each >>> 23 & 255, each & 0x7fffff];
      const half = exponent === 0 ? sign : sign | exponent - 112 << 10 | fraction >>> 13;
      halves[at] = dtype === "bf16" ? each >>> 16 : half;
    });
    const [keys, values] = [numbers.subarray(0, 64), numbers.subarray(64, 128)];
    const queries = numbers.subarray(128, 256);
    for (const layer of [0, 1]) {
      const asked = `${store}/prefill?${query(layer, 2, true, dtype)}`;
      const answer = await asker.bytes(asked, new Uint8Array(halves.buffer));
      assertOutputs(answer, own.prefill(layer, { keys, values, queries })!, 2);
    }
    asker.close();
  }
});

test("a fork is a store of its own, and memory comes back when both are closed", async () => {
  const asker = served({ storeBytesMax: 40e6 });
  const store = await opened(asker, { sequences: 2 });
  const { keys, values } = tensors(5);
  for (const layer of [0, 1]) {
    await asker.bytes(`${store}/prefill?${query(layer, 5, false)}`, bytesOf({ keys, values }));
  }
  const fork = await asker.post(`${store}/fork`);
  assertEquals([fork.status, fork.body.length], [201, 5]);
  const { reserved } = fork.body.bytes;
  assertEquals((await asker.get(store)).body.bytes.reserved, reserved);
  assertEquals((await asker.get(path)).body.data.length, 2);
  await asker.delete(store);
  assertEquals((await asker.get(`${path}/${fork.body.id}`)).body.length, 5);
  await asker.delete(`${path}/${fork.body.id}`);
  assertEquals((await asker.get(path)).body.data, []);
  await opened(asker);
  asker.close();
});

test("all stores together have so many bytes, one alone too, and both are told", async () => {
  const { reservedBytes, farBytes } = KvStore.plan(options);
  const bytes = reservedBytes + farBytes;
  const asker = served({ storeBytesMax: 2 * bytes });
  const store = await opened(asker);
  await opened(asker);
  const full = await asker.post(path, options);
  assertRefused(full, 503, "capacity", new RegExp(`its ${bytes} .* ${2 * bytes}$`));
  assertEquals(full.headers.get("Retry-After"), "1");
  await asker.delete(store);
  await opened(asker);
  const alone = await asker.post(path, { ...options, contextTokens: 65536 });
  assertRefused(alone, 400, "argument", new RegExp(`above the server's ${2 * bytes}$`));
  asker.close();
});

test("so many stores may be open", async () => {
  const asker = served({ storesMax: 2 });
  const store = await opened(asker, { sequences: 2 });
  assertEquals((await asker.post(`${store}/fork`)).status, 201);
  const sentence = /2 are open, and the server has 2$/;
  assertRefused(await asker.post(path, options), 503, "capacity", sentence);
  assertRefused(await asker.post(`${store}/fork`), 503, "capacity", sentence);
  asker.close();
});

test("a store that nobody uses is closed, and its memory is there again", async () => {
  const { reservedBytes, farBytes } = KvStore.plan(options);
  const asker = served({ idleSeconds: 0.05, storeBytesMax: reservedBytes + farBytes });
  const store = await opened(asker);
  while ((await asker.get(path)).body.data.length > 0) {
    await new Promise((answer) => setTimeout(answer, 5));
  }
  assertRefused(await asker.get(store), 404, "store_not_found");
  await opened(asker);
  asker.close();
});

test("a store is its tenant's", async () => {
  const asker = served({ keys: ["one", "two"] });
  const [one, two] = [asker.as("one"), asker.as("two")];
  const store = await opened(one);
  assertRefused(await two.get(store), 404, "store_not_found");
  assertRefused(await two.delete(store), 404, "store_not_found");
  assertRefused(await two.post(`${store}/begin`, { inputs: 1 }), 404, "store_not_found");
  const numbers = await two.bytes(`${store}/attend?${query(0, 1)}`, bytesOf(tensors(1)));
  assertRefused(numbers, 404, "store_not_found");
  assertEquals((await two.get(path)).body.data, []);
  asker.close();
});

const refusedOptions: readonly [options: object, sentence: RegExp][] = [
  [{ far: { file: "/etc/far" } }, /far of a request is not ram: files are the server's own$/],
  [{ profile: "/etc/passwd" }, /profile of a request is not none: files are the server's own$/],
  [{ profile: "auto" }, /profile of a request is not none/],
  [{ device: "cuda" }, /device of a request is the server's own to choose$/],
  [{ isa: "reference" }, /isa of a request is the server's own to choose$/],
  [{ prefetch: "read" }, /prefetch of a request is the server's own to choose$/],
  [{ threads: 256 }, /threads 256 is above the server's \d+$/],
  [{ headDim: 20 }, /headDim 20 is not a multiple of 8$/],
  [{ contextTokens: undefined }, /contextTokens is missing$/],
  [{ kvHeads: 3 }, /queryHeads 4 is not a multiple of kvHeads 3$/],
  [{ layer: 1 }, /option layer is not known$/],
  [{ setting: "compact" }, /setting compact needs a profile of the model$/],
];

for (const [more, sentence] of refusedOptions) {
  test(`a store with ${JSON.stringify(more)} is refused`, async () => {
    const answer = await served().post(path, { ...options, ...more });
    assertRefused(answer, 400, "argument", sentence);
    assert(!answer.body.error.message.includes("/etc"));
  });
}

const refusedNumbers: readonly [query: string, sentence: RegExp][] = [
  ["", /layer is missing$/],
  [query(2, 1), /layer 2 is none of 0 to 1$/],
  [query(0, 0), /keys 0,2,16 is not tokens,2,16 of this store$/],
  [query(0, 1).replace("keys=1,2", "keys=1,3"), /keys 1,3,16 is not tokens,2,16 of this store$/],
  [query(0, 1).replace("values=1", "values=2"), /values 2,2,16 is not 1,2,16 of this store$/],
  [query(0, 1).replace("1,4,16", "1,4,8"), /queries 1,4,8 is not 1,4,16 of this store$/],
  [query(0, 1).replace("f32", "f64"), /dtype f64 is none of f32, bf16, f16$/],
  [query(0, 1).replace("layer=0", "layer=-1"), /layer -1 is no number of a layer$/],
  [query(0, 1) + "&more=1", /option more is not known$/],
  [query(0, 1) + "&layer=1", /layer is given more than once$/],
  [query(0, 2), /body of 512 bytes is not 1024 bytes: keys 2 x 2 x 16, values 2 x 2 x 16, /],
  [query(0, 1, true, "f16"), /body of 512 bytes is not 256 bytes: .* of f16$/],
];

for (const [asked, sentence] of refusedNumbers) {
  test(`prefill with ?${asked} is refused, and the store stays as it was`, async () => {
    const asker = served();
    const store = await opened(asker);
    const answer = await asker.bytes(`${store}/prefill?${asked}`, bytesOf(tensors(1)));
    assertRefused(answer, 400, "argument", sentence);
    assertEquals((await asker.get(store)).body.length, 0);
    asker.close();
  });
}

test("attend needs queries", async () => {
  const asker = served();
  const store = await opened(asker);
  const asked = `${store}/attend?${query(0, 1, false)}`;
  assertRefused(
    await asker.bytes(asked, bytesOf(tensors(1))),
    400,
    "argument",
    /queries is missing/,
  );
  asker.close();
});

test("numbers that are none, and more tokens than fit, are the request's fault", async () => {
  const asker = served();
  const store = await opened(asker, { contextTokens: 64 });
  const bad = tensors(1);
  bad.keys[3] = NaN;
  const nan = await asker.bytes(`${store}/prefill?${query(0, 1)}`, bytesOf(bad));
  assertRefused(nan, 400, "data");
  const long = await asker.bytes(`${store}/prefill?${query(0, 65)}`, bytesOf(tensors(65)));
  assertRefused(long, 400, "capacity");
  assertEquals(asker.reported, []);
  asker.close();
});

test("what a store's state does not allow is refused by what is at work", async () => {
  const asker = served();
  const store = await opened(asker);
  const early = await asker.bytes(`${store}/attend?${query(0, 1)}`, bytesOf(tensors(1)));
  assertRefused(early, 400, "argument", /no step is at work$/);
  await asker.post(`${store}/begin`, { inputs: 1 });
  assertRefused(
    await asker.post(`${store}/truncate`, { tokens: 0 }),
    400,
    "argument",
    /end it first/,
  );
  assertRefused(await asker.post(`${store}/begin`, { inputs: 5 }), 400, "argument", /is above 4$/);
  assertEquals((await asker.post(`${store}/end`, { keep: 0 })).status, 200);
  assertRefused(await asker.post(`${store}/fork`), 400, "capacity", /sequences is 1$/);
  asker.close();
});

test("a body of numbers is bytes, and no more of them than the limit", async () => {
  const asker = served({ numbersBytesMax: 512 });
  const store = await opened(asker);
  const asked = `${store}/prefill?${query(0, 1)}`;
  assertRefused(await asker.post(asked, {}), 415, "unsupported_media_type");
  assertEquals((await asker.bytes(asked, bytesOf(tensors(1)))).status, 200);
  const large = await asker.bytes(`${store}/prefill?${query(0, 2)}`, bytesOf(tensors(2)));
  assertRefused(large, 413, "body_too_large", /1024 bytes of 2 tokens are above 512$/);
  asker.close();
});

// A body that never ends, and how much of it was read.
class Endless {
  bytes = 0;
  readonly request: (path: string) => Request;

  constructor() {
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        this.bytes += 100;
        controller.enqueue(new Uint8Array(100));
      },
    }, { highWaterMark: 0 });
    const headers = { "Content-Type": "application/octet-stream" };
    const init = { method: "POST", headers, body, duplex: "half" };
    this.request = (path) => new Request(`http://localhost${path}`, init);
  }
}

test("a body is read as far as its shapes say, and not where they do not fit", async () => {
  const asker = served({ numbersBytesMax: 100_000 });
  const store = await opened(asker);
  const small = new Endless();
  const above = await asker.send(small.request(`${store}/prefill?${query(0, 1)}`));
  assertRefused(above, 400, "argument", /body of 600 bytes is not 512 bytes: keys 1 x 2 x 16, /);
  assertLessOrEqual(small.bytes, 700);
  const wrong = [
    [257, 400, "capacity", /257 tokens are above contextTokens 256$/],
    [99999999, 400, "capacity", /99999999 tokens are above contextTokens 256$/],
    [256, 413, "body_too_large", /131072 bytes of 256 tokens are above 100000$/],
  ] as const;
  for (const [tokens, status, code, sentence] of wrong) {
    const large = new Endless();
    const answer = await asker.send(large.request(`${store}/prefill?${query(0, tokens)}`));
    assertRefused(answer, status, code, sentence);
    assertEquals(large.bytes, 0);
  }
  const most = await asker.bytes(`${store}/prefill?${query(0, 195)}`, bytesOf(tensors(195)));
  assertEquals(most.status, 200); // 99,840 bytes
  asker.close();
});

test("a client that left while its store was opened or forked leaves none behind", async () => {
  const client = new AbortController();
  let closed = 0;
  const slow = (store: ServedStore): ServedStore => ({
    ...store,
    stats: () => store.stats(),
    fork: async () => {
      client.abort();
      return slow(await store.fork());
    },
    close: () => {
      closed++;
      return store.close();
    },
  });
  const stores: ServedStores = {
    plan: KvStore.plan,
    open: (asked) => {
      if (asked.mode === "full") client.abort();
      return slow(KvStore.open(asked));
    },
  };
  const asker = served({ stores, storesMax: 2 });
  const store = await opened(asker, { sequences: 2, mode: "specache" });
  const fork = await asker.post(`${store}/fork`, {}, client.signal);
  assertRefused(fork, 499, "cancelled", /the client has left$/);
  const left = await asker.post(path, { ...options, mode: "full" }, client.signal);
  assertRefused(left, 499, "cancelled");
  assertEquals([closed, (await asker.get(path)).body.data.length], [2, 1]);
  await opened(asker, { mode: "paper" }); // there is room again
  asker.close();
});

test("a server without stores says so, whatever is asked of them", async () => {
  const asker = asking();
  for (const answer of [await asker.get(path), await asker.post(`${path}/1/begin`)]) {
    assertRefused(answer, 400, "unsupported", /has no stores of one's own model$/);
  }
});

test("KvStore.plan() tells what open() reserves, and refuses what it refuses", () => {
  const plan = KvStore.plan({ ...options, sequences: 3 });
  assertEquals(plan.tokens, 256);
  assert(plan.reservedBytes > KvStore.plan(options).reservedBytes);
  let message = "";
  try {
    KvStore.plan({ ...options, kvHeads: 3 });
  } catch (error) {
    message = (error as Error).message;
  }
  assertMatch(message, /^Cannot open a store: queryHeads 4 is not a multiple of kvHeads 3$/);
});
