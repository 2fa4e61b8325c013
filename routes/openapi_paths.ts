// openapi_paths.ts - every path that is served, as /openapi.json tells it.
import { named, type Schema } from "./openapi_answers.ts";

/** One method of a path. */
export interface Operation {
  readonly path: string;
  readonly method: "get" | "post" | "delete";
  readonly summary: string;
  /** Of the query string; a name that ends in ? may be left out. */
  readonly query?: Readonly<Record<string, Schema>>;
  /** The name of its schema, or bytes. */
  readonly body?: string;
  /** Status of success, and the name of its schema, or of another type. */
  readonly status?: 200 | 201 | 204;
  readonly answer: string;
  /** Statuses that refuse, beside those of every path. */
  readonly refuses?: readonly number[];
  /** Whether it needs no key. */
  readonly open?: true;
  /** Whether it is the operator's alone. */
  readonly operator?: true;
}

const post = { method: "post" as const, refuses: [400, 408, 413, 415, 503] };
const get = { method: "get" as const };
const waits = [400, 408, 413, 415, 429, 503];
const below = [400, 404, 408, 409, 413, 415, 429, 503];

const dtype = { enum: ["f32", "bf16", "f16"] };
const shape = { type: "string", pattern: "^\\d{1,8},\\d{1,8},\\d{1,8}$" };
const layer = { type: "integer", minimum: 0, maximum: 1023 };
const count = { type: "integer", minimum: 0, maximum: 10 ** 15 - 1 };
const tokens = { type: "integer", minimum: 0, maximum: 2 ** 24 };

const [session, store] = ["/v1/sessions/{id}", "/v1/stores/{id}"];

/** All of them. */
export const operations: readonly Operation[] = [
  { ...get, path: "/health", summary: "Whether the server answers", answer: "Status", open: true },
  {
    ...{ ...get, path: "/ready", summary: "Whether it takes requests", answer: "Status" },
    ...{ open: true, refuses: [503] },
  },
  {
    ...{ ...get, path: "/openapi.json", summary: "This document", answer: "Object" },
    open: true,
  },
  {
    ...{ ...get, path: "/metrics", summary: "Counters as Prometheus reads them" },
    ...{ answer: "text/plain", operator: true },
  },
  { ...get, path: "/v1/models", summary: "The one model", answer: "Models" },
  {
    ...{ ...get, path: "/v1/models/{name}", summary: "The model by its name", answer: "Model" },
    refuses: [404],
  },
  {
    ...{ ...post, path: "/v1/chat/completions", summary: "An answer to a conversation" },
    ...{ body: "ChatRequest", answer: "Object", refuses: [...waits, 404] },
  },
  {
    ...{ ...post, path: "/v1/completions", summary: "Prompts that go on" },
    ...{ body: "CompletionRequest", answer: "Object", refuses: [...waits, 404] },
  },
  {
    ...{ ...post, path: "/v1/responses", summary: "An answer to a text or a conversation" },
    ...{ body: "ResponseRequest", answer: "Object", refuses: [...waits, 404] },
  },
  {
    ...{ ...get, path: "/v1/plan", summary: "Bytes of the cache for so many tokens" },
    ...{ query: { "tokens?": tokens }, answer: "CachePlan", refuses: [400] },
  },
  { ...get, path: "/v1/stats", summary: "What the engine holds and has done", answer: "Stats" },
  {
    ...{ ...get, path: "/v1/events", summary: "What the engine does, as it does it" },
    ...{ query: { "watch?": count, "list?": count }, answer: "text/event-stream" },
    ...{ refuses: [400, 429], operator: true },
  },
  {
    ...{ ...post, path: "/v1/generate", summary: "Generates from a prompt, ids or messages" },
    ...{ body: "GenerateRequest", answer: "Generated", refuses: waits },
  },
  { ...get, path: "/v1/sessions", summary: "The sessions of the key", answer: "Sessions" },
  {
    ...{ ...post, path: "/v1/sessions", summary: "A new, empty session", body: "Nothing" },
    ...{ status: 201, answer: "Session", refuses: waits },
  },
  { ...get, path: session, summary: "A session", answer: "Session", refuses: [404] },
  {
    ...{ method: "delete", path: session, summary: "Closes it, and ends what runs in it" },
    ...{ answer: "Deleted", refuses: [404] },
  },
  {
    ...{ ...post, path: `${session}/append`, summary: "Reads a prompt", body: "AppendRequest" },
    ...{ answer: "Session", refuses: below },
  },
  {
    ...{ ...post, path: `${session}/generate`, summary: "Goes on from what it holds" },
    ...{ body: "GenerateRequest", answer: "GeneratedInSession", refuses: below },
  },
  {
    ...{ ...post, path: `${session}/fork`, summary: "A second session with the same text" },
    ...{ body: "Nothing", status: 201, answer: "Session", refuses: below },
  },
  {
    ...{ ...post, path: `${session}/truncate`, summary: "Forgets all but its first tokens" },
    ...{ body: "TruncateRequest", answer: "Session", refuses: below },
  },
  { ...get, path: "/v1/stores", summary: "The raw stores of the key", answer: "Stores" },
  {
    ...{ ...post, path: "/v1/stores", summary: "A raw store for a model of one's own" },
    ...{ body: "StoreRequest", status: 201, answer: "Store", refuses: waits },
  },
  { ...get, path: store, summary: "A store", answer: "Store", refuses: [404] },
  {
    ...{ method: "delete", path: store, summary: "Closes it", answer: "Deleted", refuses: [404] },
  },
  {
    ...{ ...post, path: `${store}/prefill`, summary: "Adds a run of tokens to one layer" },
    ...{ query: { layer, dtype, keys: shape, values: shape, "queries?": shape }, body: "bytes" },
    ...{ answer: "bytes", refuses: below },
  },
  {
    ...{ ...post, path: `${store}/begin`, summary: "Starts a step", body: "StepRequest" },
    ...{ answer: "Length", refuses: below },
  },
  {
    ...{ ...post, path: `${store}/attend`, summary: "The step's next layer" },
    ...{ query: { layer, dtype, keys: shape, values: shape, queries: shape }, body: "bytes" },
    ...{ answer: "bytes", refuses: below },
  },
  {
    ...{ ...post, path: `${store}/end`, summary: "Ends the step", body: "EndRequest" },
    ...{ answer: "Length", refuses: below },
  },
  {
    ...{ ...post, path: `${store}/truncate`, summary: "Forgets all but its first tokens" },
    ...{ body: "TruncateRequest", answer: "Length", refuses: below },
  },
  {
    ...{ ...post, path: `${store}/fork`, summary: "A second store with the same tokens" },
    ...{ body: "Nothing", status: 201, answer: "Store", refuses: below },
  },
];

/** Of a stream of events. */
export const EVENTS: Schema = {
  description: "Server-sent events, each with an object of JSON as data",
};

/** What an answer or a body is, by its name. */
export function contentOf(name: string): Schema {
  if (name === "bytes") {
    return { "application/octet-stream": { schema: { type: "string", format: "binary" } } };
  }
  if (name === "text/event-stream") return { [name]: { schema: EVENTS } };
  if (name.includes("/")) return { [name]: { schema: { type: "string" } } };
  return { "application/json": { schema: named(name) } };
}
