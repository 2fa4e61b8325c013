// stores.ts - /v1/stores: the cache without a model, for whoever computes queries, keys and values.
// Numbers travel as bytes, their type and shape in the query string. A store belongs to the tenant
// that opened it, and is closed when it was idle for long, or makes way for another tenant's.
import { type Context, Hono } from "hono";
import { endOptions, type KvStoreOptions, stepOptions, tokenCount } from "../engine/config.ts";
import { SpecacheError } from "../engine/errors.ts";
import { parse } from "../engine/parse.ts";
import { bytesOf } from "./body.ts";
import { checkEmpty } from "./empty.ts";
import { RequestError } from "./errors.ts";
import { type Entry, Held } from "./held.ts";
import { only } from "./methods.ts";
import { ownerOf } from "./owner.ts";
import { type AnswerParts, bodyOf } from "./parts.ts";
import { queryOf } from "./query.ts";
import type { ServedStore } from "./store_engine.ts";
import type { OpenStore, Reserved, StoreMemory } from "./store_memory.ts";
import { numbersOf, numbersRequestOf, storeRequestOf } from "./store_request.ts";
import { bytesOfNumbers } from "./tensor.ts";

/** Largest body of numbers in bytes, where the options do not tell. */
export const NUMBERS_BYTES = 64 << 20;

/** What the routes work with. */
export interface StoreParts extends Omit<AnswerParts, "engine" | "name"> {
  /** null: this server has no stores. */
  readonly memory: StoreMemory | null;
  /** Largest body of numbers. */
  readonly numbersBytesMax: number;
  /** Seconds that a store may be idle. */
  readonly idleSeconds: number;
}

interface Open {
  readonly store: ServedStore;
  readonly memory: Reserved;
  readonly options: KvStoreOptions;
}

/** GET: a list; POST: a new one; below its id the calls of a store. */
export function storeRoutes(parts: StoreParts): Hono {
  const stores = new Hono();
  const { memory } = parts;
  if (memory === null) {
    stores.all("/*", () => {
      const sentence = "Cannot answer: this server has no stores of one's own model";
      throw new SpecacheError("unsupported", sentence);
    });
    return stores;
  }
  const held = new Held<Open>({ what: "store", ...parts });
  const opened = (): OpenStore[] =>
    held.all.map((entry) => {
      const { tenant, rested: used, item: { memory } } = entry;
      return { tenant, size: 1, used, memory, close: () => held.evict(entry) };
    });
  const add = async (c: Context, open: Open) => {
    const close = async () => {
      try {
        await open.store.close();
      } finally {
        memory.give(open.memory);
      }
    };
    if (c.req.raw.signal.aborted) { // who left while it was opened will never know of it
      await close();
      throw new SpecacheError("cancelled", "Cannot answer: the client has left");
    }
    return await created(c, held.add(ownerOf(c), open, close));
  };
  stores.get("/", async (c) => {
    const all = held.of(ownerOf(c)).map(async (entry) => {
      try {
        return [await told(entry)];
      } catch (error) {
        if (held.has(entry)) throw error;
        return []; // it was closed meanwhile
      }
    });
    return c.json({ data: (await Promise.all(all)).flat() });
  });
  stores.post("/", async (c) => {
    const options = storeRequestOf(await bodyOf(c, parts));
    held.checkOpen();
    const made = await asked(() => memory.open(options, ownerOf(c), opened));
    return await add(c, { ...made, options });
  });
  stores.all("/", only("GET", "POST"));
  stores.post("/:id/fork", async (c) => {
    checkEmpty("fork a store", await bodyOf(c, parts));
    held.checkOpen();
    return await held.use(ownerOf(c), c.req.param("id"), async (open) => {
      const fork = await asked(() => memory.take(open.memory, () => open.store.fork(), opened));
      return await add(c, { ...fork, options: open.options });
    });
  });
  oneStore(stores, held, parts);
  numbersOfStore(stores, held, parts);
  return stores;
}

// What is told of a store, and what changes it by a few words of JSON.
function oneStore(stores: Hono, held: Held<Open>, parts: StoreParts): void {
  stores.get("/:id", async (c) => c.json(await told(held.get(ownerOf(c), c.req.param("id")))));
  stores.delete("/:id", async (c) => {
    const { id } = held.get(ownerOf(c), c.req.param("id"));
    await held.remove(ownerOf(c), id);
    return c.json({ id, deleted: true });
  });
  stores.all("/:id", only("GET", "DELETE"));
  const change = (c: Context, body: (store: ServedStore) => void | Promise<void>) =>
    held.use(ownerOf(c), c.req.param("id")!, async ({ store }) => {
      await asked(() => body(store));
      return c.json({ length: await store.length });
    });
  stores.post("/:id/begin", async (c) => {
    const step = parse(stepOptions, await bodyOf(c, parts), "begin a step");
    return await change(c, (store) => store.begin(step));
  });
  stores.post("/:id/end", async (c) => {
    const kept = parse(endOptions, await bodyOf(c, parts), "end a step");
    return await change(c, (store) => store.end(kept));
  });
  stores.post("/:id/truncate", async (c) => {
    const { tokens } = parse(tokenCount, await bodyOf(c, parts), "truncate a store");
    return await change(c, (store) => store.truncate(tokens));
  });
  for (const verb of ["begin", "end", "truncate", "fork"]) {
    stores.all(`/:id/${verb}`, only("POST"));
  }
}

// Shapes are judged before the body is read, and of it no more is read than they need.
function numbersOfStore(
  stores: Hono,
  held: Held<Open>,
  { numbersBytesMax, bodySeconds }: StoreParts,
): void {
  for (const verb of ["prefill", "attend"] as const) {
    stores.post(`/:id/${verb}`, async (c) => {
      const [owner, id] = [ownerOf(c), c.req.param("id")];
      const { options } = held.get(owner, id).item;
      const query = queryOf(c.req.raw, `${verb} a layer`);
      const request = numbersRequestOf(verb, query, options, numbersBytesMax);
      const body = await bytesOf(c.req.raw, request.bytes, bodySeconds, request.wrong);
      const numbers = numbersOf(request, body);
      const outputs = await held.use(owner, id, ({ store }) =>
        asked<Float32Array | null>(() => {
          if (verb === "prefill") return store.prefill(request.layer, numbers);
          return store.attend(request.layer, { ...numbers, queries: numbers.queries! });
        }));
      if (outputs === null) return c.body(null, 204);
      return c.body(bytesOfNumbers(outputs), 200, {
        "Content-Type": "application/octet-stream",
        "Specache-Dtype": "f32",
        "Specache-Shape": String(request.declared.at(-1)!.shape),
      });
    });
    stores.all(`/:id/${verb}`, only("POST"));
  }
}

// What a store refuses is the request's fault, and stays refused: that it is full, and numbers
// that are none.
async function asked<T>(call: () => T | Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof SpecacheError)) throw error;
    const { code, message, details } = error;
    const passes = details.taken !== undefined || details.countMax !== undefined;
    if (code !== "data" && (code !== "capacity" || passes)) throw error;
    throw new RequestError(400, code, message);
  }
}

async function created(c: Context, entry: Entry<Open>): Promise<Response> {
  return c.json(await told(entry), 201, { Location: `/v1/stores/${entry.id}` });
}

async function told({ id, created, expires, item }: Entry<Open>): Promise<object> {
  const stats = await item.store.stats();
  const { nearBytes: near, farBytes: far, fullBytes: full } = stats;
  const bytes = { near, far, full, reserved: item.memory.bytes };
  return { id, created, expires, length: stats.tokens, bytes, stats };
}
