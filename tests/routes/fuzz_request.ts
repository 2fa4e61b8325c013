// fuzz_request.ts - requests at random from a seed: right ones, and right ones with something
// broken in them: method, path, query, headers, fields, bytes, length, or the connection.
import { rawRequest } from "./socket.ts";

/** Random numbers from a seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 to below 1. */
  next(): number {
    this.#state = this.#state + 0x6d2b79f5 >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ mixed >>> 15, mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61);
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
  }

  /** An integer from 0 to below `count`. */
  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  /** True once in `count` times. */
  once(count: number): boolean {
    return this.below(count) === 0;
  }
}

/** Who asks: a key, and a word that only texts of its requests have. */
export interface Tenant {
  readonly key: string;
  readonly word: string;
}

/** What requests may name. */
export interface Targets {
  readonly tenants: readonly Tenant[];
  /** What the model is called. */
  readonly model: string;
  /** Ids of sessions and stores, of any key, open or closed. */
  readonly sessions: readonly string[];
  readonly stores: readonly string[];
}

/** A request, and how much of it is sent. */
export interface Fuzzed {
  readonly tenant: Tenant;
  readonly method: string;
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Bytes after which the connection is cut; null: none is. */
  readonly cut: number | null;
}

type Shape = readonly [
  method: string,
  path: string,
  body: "none" | "bytes" | object,
  query?: string,
];

const message = { role: "user", content: "the code of amber" };
const tool = { type: "function", function: { name: "look", parameters: { type: "object" } } };
const schema = { type: "object", properties: { a: { type: "integer" } }, required: ["a"] };
const response_format = { type: "json_schema", json_schema: { name: "x", schema, strict: true } };
const sampling = { maxTokens: 4, temperature: 0.5, topK: 3, topP: 0.9, seed: 1, stop: ["x"] };
const store = { layers: 1, kvHeads: 1, queryHeads: 2, headDim: 16, contextTokens: 128, threads: 1 };
const numbers = "layer=0&dtype=f32&keys=2,1,16&values=2,1,16&queries=2,2,16";

// Right requests: {s} and {t} stand for ids of sessions and stores.
const shapes: readonly Shape[] = [
  ["GET", "/health", "none"],
  ["GET", "/ready", "none"],
  ["GET", "/metrics", "none"],
  ["GET", "/openapi.json", "none"],
  ["GET", "/v1/models", "none"],
  ["GET", "/v1/models/fake", "none"],
  ["GET", "/v1/stats", "none"],
  ["GET", "/v1/plan", "none", "tokens=64"],
  ["GET", "/v1/events", "none", "watch=1&list=0"],
  ["GET", "/dashboard/page.html", "none"],
  ["POST", "/v1/generate", { prompt: "ab", ...sampling, k: 2, late: { above: 0.5 } }],
  ["POST", "/v1/generate", { ids: [1, 2, 3], stream: true, logprobs: 2, guesses: 1 }],
  ["POST", "/v1/generate", { messages: [message], maxTokens: "rest", accept: "off" }],
  ["POST", "/v1/chat/completions", { model: "fake", messages: [message], max_tokens: 3 }],
  [
    ...["POST", "/v1/chat/completions"] as const,
    { model: "fake", messages: [message], stream: true, stream_options: { include_usage: true } },
  ],
  ["POST", "/v1/chat/completions", { model: "fake", messages: [message], tools: [tool], n: 2 }],
  ["POST", "/v1/chat/completions", { model: "fake", messages: [message], response_format }],
  ["POST", "/v1/completions", { model: "fake", prompt: ["ab", "cd"], max_tokens: 3, echo: true }],
  ["POST", "/v1/completions", { model: "fake", prompt: "ab", stream: true, logprobs: 1 }],
  ["POST", "/v1/responses", { model: "fake", input: "ab", max_output_tokens: 3 }],
  ["POST", "/v1/responses", { model: "fake", input: [message], stream: true, tools: [] }],
  ["GET", "/v1/sessions", "none"],
  ["POST", "/v1/sessions", {}],
  ["GET", "/v1/sessions/{s}", "none"],
  ["DELETE", "/v1/sessions/{s}", "none"],
  ["POST", "/v1/sessions/{s}/append", { prompt: "ab" }],
  ["POST", "/v1/sessions/{s}/generate", { prompt: "ab", ...sampling }],
  ["POST", "/v1/sessions/{s}/fork", {}],
  ["POST", "/v1/sessions/{s}/truncate", { tokens: 1 }],
  ["GET", "/v1/stores", "none"],
  ["POST", "/v1/stores", store],
  ["POST", "/v1/stores", { ...store, mode: "full", sequences: 2 }],
  ["GET", "/v1/stores/{t}", "none"],
  ["DELETE", "/v1/stores/{t}", "none"],
  ["POST", "/v1/stores/{t}/prefill", "bytes", numbers],
  ["POST", "/v1/stores/{t}/begin", { inputs: 2, trusted: 1, k: 4 }],
  ["POST", "/v1/stores/{t}/attend", "bytes", numbers],
  ["POST", "/v1/stores/{t}/end", { keep: 1 }],
  ["POST", "/v1/stores/{t}/truncate", { tokens: 1 }],
  ["POST", "/v1/stores/{t}/fork", {}],
];

const oddPaths = [
  ...["/", "//", "/v1", "/v1/", "/v1//generate", "/V1/generate", "/v1/generate/", "/v1/nothing"],
  ...["/../../etc/passwd", "/v1/models/..%2f..%2fetc%2fpasswd", "/v1/models/%00", "/%ff%fe", "/%"],
  ...["/v1/sessions/__proto__", "/v1/stores/constructor/begin", "/v1/sessions/%20", "*", "/?=&&;"],
  "/v1/models/" + "a".repeat(3000),
];

const oddValues: readonly unknown[] = [
  ...[null, true, false, 0, -1, 1, 0.5, 1e-300, 1e300, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53)],
  ...["", " ", "0", "1e3", "\0", "\ud800", "\u202e", "é", "a".repeat(5000), "__proto__", "NaN"],
  ...[[], [[]], [null], {}, { a: 1 }, { "": {} }, [0, "1", {}], Array(300).fill(0)],
  ...["/etc/passwd", "../../x", { file: "/etc/passwd" }, { above: 2 }, "<script>", "%s%n"],
];

const oddMethods = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW", "TRACE"];

const oddTypes = [
  ...["text/plain", "application/json; charset=utf-16", "application/jsonp", "", "a", "/"],
  ...["multipart/form-data", "application/octet-stream", "APPLICATION/JSON", "application/json;"],
];

const oddQueries = [
  ...[
    "tokens=-1",
    "tokens=1&tokens=2",
    "watch=-1",
    "layer=99999",
    "keys=0,0,0",
    "dtype=f64",
    "__proto__=1",
  ],
  ...["%", "%ff=%fe", "a".repeat(2000), "keys=99999999,1,16&values=99999999,1,16", "=&=&="],
];

/** A request from random numbers. */
export function fuzzed(random: Random, targets: Targets): Fuzzed {
  const [shapeMethod, template, shapeBody, shapeQuery] = random.of(shapes);
  const method = random.once(12) ? random.of(oddMethods) : shapeMethod;
  const place = random.once(12) ? random.of(oddPaths) : filled(template, random, targets);
  const query = random.once(10) ? random.of(oddQueries) : shapeQuery;
  const path = query === undefined ? place : `${place}?${query}`;
  const tenant = random.of(targets.tenants);
  const names = { ab: `ab ${tenant.word}`, fake: targets.model };
  const body = broken(bodyOf(renamed(shapeBody, names), random), random);
  const type = shapeBody === "bytes" ? "application/octet-stream" : "application/json";
  const headers: Record<string, string> = { Connection: "close" };
  if (shapeBody !== "none" || random.once(10)) {
    headers["Content-Type"] = random.once(15) ? random.of(oddTypes) : type;
    headers["Content-Length"] = String(body.length);
  }
  if (random.once(40)) headers["Content-Length"] = random.of(["0", "-1", "x", "5", "99999999999"]);
  if (!random.once(15)) headers.Authorization = `Bearer ${tenant.key}`;
  else if (random.once(2)) headers.Authorization = random.of(["Bearer", "Bearer x", "Basic eA=="]);
  const bytes = rawRequest(`${method} ${path}`, headers, body);
  const cut = random.once(15) ? random.below(bytes.length) : null;
  return { tenant, method, path, bytes, cut };
}

// A right body, with the tenant's word in its texts, and the model's name.
function renamed(body: Shape[2], names: Readonly<Record<string, string>>): Shape[2] {
  if (typeof body === "string") return body;
  return JSON.parse(JSON.stringify(body), (_, value) => names[value] ?? value);
}

function filled(template: string, random: Random, { sessions, stores }: Targets): string {
  const id = (ids: readonly string[]) =>
    ids.length === 0 || random.once(8) ? crypto.randomUUID() : random.of(ids);
  return template.replace("{s}", () => id(sessions)).replace("{t}", () => id(stores));
}

function bodyOf(body: Shape[2], random: Random): Uint8Array {
  if (body === "none") return new Uint8Array();
  if (body === "bytes") {
    const floats = Float32Array.from({ length: 128 }, () => random.next() - 0.5);
    if (random.once(8)) floats[random.below(128)] = random.of([NaN, Infinity, 1e38, 1e-45]);
    return new Uint8Array(floats.buffer);
  }
  const value: Record<string, unknown> = structuredClone(body) as Record<string, unknown>;
  for (let times = random.of([0, 0, 1, 1, 2, 5]); times > 0; times--) changeField(value, random);
  return new TextEncoder().encode(JSON.stringify(value));
}

function changeField(value: Record<string, unknown>, random: Random): void {
  const names = Object.keys(value);
  const name = names.length === 0 || random.once(5)
    ? random.of(["salt", "signal", "more", "far", "profile", "stream", "tools", "n", "\ud800"])
    : random.of(names);
  const inner = value[name];
  if (typeof inner === "object" && inner !== null && random.once(2)) {
    return changeField(inner as Record<string, unknown>, random);
  }
  if (random.once(6)) delete value[name];
  else value[name] = structuredClone(random.of(oddValues));
}

// Bytes of a body are changed, cut, doubled, or nested.
function broken(body: Uint8Array, random: Random): Uint8Array {
  if (body.length === 0 || !random.once(6)) return body;
  const changed = body.slice();
  switch (random.below(5)) {
    case 0:
      changed[random.below(changed.length)] = random.below(256);
      return changed;
    case 1:
      return changed.subarray(0, random.below(changed.length));
    case 2:
      return new Uint8Array([...changed, ...changed]);
    case 3:
      return new TextEncoder().encode('{"prompt":' + "[".repeat(random.of([10, 70, 20_000])));
    default:
      return new Uint8Array([0xef, 0xbb, 0xbf, 0xff, ...changed]);
  }
}
