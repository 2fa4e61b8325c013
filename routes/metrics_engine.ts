// metrics_engine.ts - what an engine tells of itself, as series of Prometheus.
import { Counter, Gauge, Registry } from "prom-client";
import type { EngineStats } from "../engine/engine_stats.ts";

// A front at the edge knows no more than its hosts tell.
type Stats = Partial<EngineStats>;

type Numbers = Readonly<Record<string, number | undefined>>;

interface Series {
  readonly kind: "counter" | "gauge";
  readonly name: string;
  readonly help: string;
  /** The label that tells the numbers of one series apart. */
  readonly label?: string;
  /** One number under the name "", or one for each value of the label; undefined: not told. */
  of(stats: Stats): Numbers;
}

/** Reads the stats of an engine into a registry of their own. */
export function engineMetrics(stats: Stats): Registry {
  const registry = new Registry();
  for (const { kind, name, help, label, of } of series) {
    const told = Object.entries(of(stats)).filter(([, value]) => Number.isFinite(value));
    if (told.length === 0) continue;
    const labelNames = label === undefined ? [] : [label];
    const options = { name: `specache_${name}`, help, labelNames, registers: [registry] };
    const series = kind === "counter"
      ? new Counter({ ...options, name: `${options.name}_total` })
      : new Gauge(options);
    for (const [value, number] of told) {
      series.inc(label === undefined ? {} : { [label]: value }, number);
    }
  }
  return registry;
}

const secondsOf = (milliseconds = NaN) => milliseconds / 1000;

const gauge = { kind: "gauge" } as const;
const counter = { kind: "counter" } as const;

const series: readonly Series[] = [
  {
    ...{ ...counter, name: "requests", help: "Requests of the engine, by how they ended" },
    ...{ label: "end", of: ({ requests }) => ({ ...requests }) },
  },
  {
    ...{ ...gauge, name: "requests_waiting", help: "Requests that wait for a place" },
    of: ({ waiting }) => ({ "": waiting }),
  },
  {
    ...{ ...gauge, name: "requests_running", help: "Requests that have a place" },
    of: ({ running }) => ({ "": running }),
  },
  {
    ...{ ...counter, name: "set_back", help: "Times that requests gave up pages to others" },
    of: ({ setBack }) => ({ "": setBack }),
  },
  {
    ...{ ...counter, name: "recomputed_tokens", help: "Tokens that were run again for that" },
    of: ({ recomputedTokens }) => ({ "": recomputedTokens }),
  },
  {
    ...{ ...gauge, name: "sessions", help: "Texts that are open" },
    of: ({ sessions }) => ({ "": sessions }),
  },
  {
    ...{ ...gauge, name: "sessions_max", help: "Texts that may be open at a time" },
    of: ({ sessionsMax }) => ({ "": sessionsMax }),
  },
  {
    ...{ ...gauge, name: "tokens_held", help: "Tokens of the texts that are open" },
    of: ({ tokens }) => ({ "": tokens }),
  },
  {
    ...{ ...counter, name: "prompt_tokens", help: "Tokens of prompts that were read" },
    of: ({ promptTokens }) => ({ "": promptTokens }),
  },
  {
    ...{ ...counter, name: "cached_tokens", help: "Tokens of prompts that were held already" },
    label: "from",
    of: ({ cachedTokens = NaN, cachedGeneratedTokens = NaN }) => ({
      prompt: cachedTokens - cachedGeneratedTokens,
      generated: cachedGeneratedTokens,
    }),
  },
  {
    ...{ ...counter, name: "completion_tokens", help: "Tokens that were generated" },
    of: ({ completionTokens }) => ({ "": completionTokens }),
  },
  {
    ...{ ...counter, name: "engine_seconds", help: "Seconds of requests, by what they did" },
    label: "phase",
    of: ({ prefillMs, decodeMs }) => ({
      prefill: secondsOf(prefillMs),
      decode: secondsOf(decodeMs),
    }),
  },
  {
    ...{ ...gauge, name: "bytes", help: "Bytes by tier; full: a 16-bit cache of the same texts" },
    label: "tier",
    of: ({ nearBytes, farBytes, fullBytes, reservedBytes }) => ({
      near: nearBytes,
      near_reserved: reservedBytes,
      far_reserved: farBytes,
      full: fullBytes,
    }),
  },
  {
    ...{ ...counter, name: "rows", help: "Exact rows of steps, by how they came to be near" },
    ...{ label: "how", of: ({ rows }) => ({ ...rows }) },
  },
  {
    ...{ ...counter, name: "fetched_bytes", help: "Bytes copied from far to near" },
    of: ({ fetchedBytes }) => ({ "": fetchedBytes }),
  },
  {
    ...{ ...counter, name: "fetch_seconds", help: "Seconds of fetches: hidden beside a step" },
    label: "part",
    of: ({ fetch }) => ({
      hidden: secondsOf(fetch?.hiddenMs),
      waited: secondsOf(fetch?.waitedMs),
      late: secondsOf(fetch?.lateMs),
    }),
  },
  {
    ...{ ...counter, name: "guesses", help: "Guesses beside true tokens, by what came of them" },
    label: "outcome",
    of: ({ guess }) => ({ made: guess?.made, right: guess?.right, accepted: guess?.accepted }),
  },
  {
    ...{ ...gauge, name: "pages", help: "Pages of the pool" },
    ...{ label: "which", of: ({ pages }) => ({ ...pages }) },
  },
  {
    ...{ ...gauge, name: "prefixes", help: "Finished texts that are kept for reuse" },
    of: ({ prefixes }) => ({ "": prefixes?.kept }),
  },
  {
    ...{ ...counter, name: "prefix_lookups", help: "Requests, by whether a kept text began alike" },
    label: "outcome",
    of: ({ prefixes }) => ({ hit: prefixes?.hits, miss: prefixes?.misses }),
  },
  {
    ...{ ...counter, name: "evicted_pages", help: "Pages of kept texts that made room" },
    of: ({ prefixes }) => ({ "": prefixes?.evictedPages }),
  },
];
