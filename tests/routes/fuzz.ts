// fuzz.ts - many requests at random to one server, over sockets, some at a time; and what must hold
// of every answer, and of the server after all of them.
import process from "node:process";
import { ensureLibrary, KvStore, SpecacheError } from "../../mod.ts";
import { createApp } from "../../routes/app.ts";
import { assert, assertEquals, assertMatch } from "../harness.ts";
import type { ServedEngine } from "../../routes/app.ts";
import { FakeEngine } from "./fake.ts";
import { type Fuzzed, fuzzed, Random, type Tenant } from "./fuzz_request.ts";
import { onPort, type RawAnswer, rawRequest, Wire } from "./socket.ts";

// No answer may have a key, nor a word of another tenant's texts.
const tenants: readonly Tenant[] = [
  { key: "first-tenants-key", word: "amber-4171" },
  { key: "second-tenants-key", word: "cedar-9353" },
];
const secret = "/home/of-the-host";
const at_a_time = 16;

/** An engine that is tried, and whether it is as it was when nothing runs in it. */
export interface Tried {
  readonly engine: ServedEngine;
  /** Asserts that nothing runs and nothing is held. */
  emptied(): void | Promise<void>;
}

/** Sends `count` requests made of `seed`. */
export async function fuzz(count: number, seed: number, tried: Tried = fake()): Promise<void> {
  await ensureLibrary();
  const reported: unknown[] = [];
  const app = createApp(tried.engine, {
    ...{ keys: tenants.map(({ key }) => key), operatorKeys: [tenants[0].key] },
    ...{ name: "fake", bodySeconds: 2 },
    ...{ stores: KvStore, storeBytesMax: 24e6, storesMax: 24 },
    report: (error) => void reported.push(error),
  });
  await onPort(app, async (port) => {
    const fuzzer = new Fuzzer(port, seed);
    await Promise.all(Array.from({ length: at_a_time }, async () => {
      while (fuzzer.sent < count) await fuzzer.one();
    }));
    await fuzzer.emptied();
    await tried.emptied();
    const ours = (error: unknown) => error instanceof SpecacheError && error.code === "file";
    assertEquals(reported.filter((error) => !ours(error)), [], "what is no failure of the engine");
    assertEquals(fuzzer.failures, reported.length);
  });
}

// A fake engine, which fails for one seed.
function fake(): Tried {
  const engine = new FakeEngine({ sequences: 64, sessionsMax: 32 });
  const generate = engine.generate.bind(engine);
  engine.generate = (options) => {
    if (options.seed === 2 ** 31) throw new SpecacheError("file", `Cannot read ${secret}/weights`);
    return generate(options);
  };
  return {
    engine,
    async emptied() {
      while (engine.running > 0) await pause();
      assertEquals(engine.open.size, 0);
    },
  };
}

const pause = () => new Promise((answer) => setTimeout(answer, 1));

class Fuzzer {
  readonly #random: Random;
  readonly #port: number;
  readonly #sessions: string[] = [];
  readonly #stores: string[] = [];
  sent = 0;
  /** Answers of status 500. */
  failures = 0;

  constructor(port: number, seed: number) {
    this.#port = port;
    this.#random = new Random(seed);
  }

  /** One request; every 500th time the server must be in health. */
  async one(): Promise<void> {
    const number = ++this.sent;
    const targets = { tenants, model: "fake", sessions: this.#sessions, stores: this.#stores };
    const request = fuzzed(this.#random, targets);
    const wire = await Wire.open(this.#port);
    try {
      const answer = await this.#exchange(wire, request);
      if (answer !== null) this.#judge(request, answer);
    } catch (error) {
      const text = new TextDecoder("latin1").decode(request.bytes.subarray(0, 2000));
      throw new Error(`request ${number}, cut ${request.cut}: ${text}`, { cause: error });
    } finally {
      wire.socket.destroy();
    }
    if (number % 500 === 0) {
      assertEquals((await this.#ask("GET", "/health", tenants[0].key)).status, 200);
    }
  }

  async #exchange(wire: Wire, { path, bytes, cut }: Fuzzed): Promise<RawAnswer | null> {
    wire.socket.write(bytes.subarray(0, cut ?? bytes.length));
    const endless = path.startsWith("/v1/events");
    if (cut === null && !endless) return await wire.answer();
    if (this.#random.once(2)) await pause();
    return null;
  }

  #judge({ tenant, method, path }: Fuzzed, { status, headers, body }: RawAnswer): void {
    const text = new TextDecoder().decode(body);
    const others = tenants.filter((each) => each !== tenant).map(({ word }) => word);
    const keys = tenants.map(({ key }) => key);
    for (const word of [...keys, ...others, secret, process.cwd(), process.execPath]) {
      assert(!text.includes(word) && !JSON.stringify(headers).includes(word), `${word} in ${text}`);
    }
    if (status === 500) this.failures++;
    const byRuntime = body.length === 0 && status < 500; // what is no HTTP never reaches the app
    if (status >= 400 && method !== "HEAD" && !byRuntime) assertShape(text, status);
    if (status !== 201) return;
    const ids = path.startsWith("/v1/sessions") ? this.#sessions : this.#stores;
    ids.push(JSON.parse(text).id);
    if (ids.length > 60) ids.shift();
  }

  /** Closes all that is open, as either tenant. */
  async emptied(): Promise<void> {
    for (const path of ["/v1/sessions", "/v1/stores"]) {
      for (const { key } of tenants) {
        const { data } = (await this.#ask("GET", path, key)).body;
        for (const { id } of data) {
          assertEquals((await this.#ask("DELETE", `${path}/${id}`, key)).status, 200);
        }
        assertEquals((await this.#ask("GET", path, key)).body, { data: [] });
      }
    }
  }

  // deno-lint-ignore no-explicit-any -- whatever an answer holds
  async #ask(method: string, path: string, key: string): Promise<{ status: number; body: any }> {
    const wire = await Wire.open(this.#port);
    const headers = { Authorization: `Bearer ${key}`, Connection: "close" };
    wire.socket.write(rawRequest(`${method} ${path}`, headers));
    const { status, body } = (await wire.answer())!;
    wire.socket.destroy();
    return { status, body: JSON.parse(new TextDecoder().decode(body)) };
  }
}

function assertShape(text: string, status: number): void {
  const body = JSON.parse(text);
  assertEquals(Object.keys(body), ["error"]);
  const { message, type, param, code, ...more } = body.error;
  assertEquals(more, {});
  assertEquals(type, status < 500 ? "invalid_request_error" : "server_error");
  assert(param === null || typeof param === "string", `${param}`);
  assertMatch(code, /^[a-z_]+$/);
  assertMatch(message, /^Cannot [\s\S]+: [\s\S]+[^.]$/);
  assert(message.length < 1000, message);
}
