// predict.ts - how long a step and a prefill take here, from what was measured just now.
import { sharedLibrary } from "../../ffi/library.ts";
import type { ModelDescription } from "../model/describe.ts";
import type { tensorTypes } from "../model/roles.ts";
import type { CachePlan } from "../plan.ts";
import type { Settings } from "../settings.ts";
import { type AttentionTask, type LayerTimes, measureAttention } from "./attention.ts";
import { engineStep } from "./engine_cost.ts";
import { areaTo, lineAt } from "./numbers.ts";
import { measureBytes, measureModel, type WeightTimes } from "./weights.ts";

const ENGINE_BELOW = 0.02; // seconds of a step: an engine adds a hundredth to longer ones, or less

/** Bytes that a step reads, and how fast the kernels read them here. */
export interface Reading {
  readonly bytes: number;
  readonly bytesPerSecond: number;
}

/** Times of one length, in milliseconds. */
export interface Predicted {
  readonly tokens: number;
  /** One step behind these tokens. */
  readonly stepMs: number;
  /** A prefill of these tokens. */
  readonly prefillMs: number;
  /** Weights, or null where they are not known: the times are the cache's alone. */
  readonly weights: Reading | null;
  /** Codes, and rows that are exact. */
  readonly cache: Reading;
  /** What an engine adds to a step; 0 where it is next to nothing of it. */
  readonly engineMs: number;
}

/** What was measured. */
export interface Measured {
  readonly layers: number;
  readonly attention: LayerTimes;
  readonly weights: WeightTimes | null;
  /** What an engine adds to a step, in seconds. */
  readonly engine: number;
  readonly threads: number;
  /** How long measuring took. */
  readonly seconds: number;
}

/** Weights of a plan: a model's, so many bytes of a type, or none. */
export type PlannedWeights =
  | { readonly model: ModelDescription; readonly path: string }
  | { readonly bytes: number; readonly type: keyof typeof tensorTypes }
  | null;

/**
 * Measures what prediction needs; some seconds at most for large models.
 *
 * @throws {SpecacheError} device, memory, file, data: this machine cannot run the settings
 */
export async function measure(task: AttentionTask, weights: PlannedWeights): Promise<Measured> {
  const started = performance.now();
  const attention = measureAttention(task);
  const { settings, shape, profile, inputs } = task;
  const read = weights === null
    ? null
    : "model" in weights
    ? measureModel(weights.model, settings, profile, inputs)
    : measureBytes(weights.bytes, weights.type, shape, plain(settings), inputs);
  const engine = weights !== null && "model" in weights && read!.step < ENGINE_BELOW
    ? await engineCost(weights.model, weights.path, settings)
    : 0;
  const seconds = (performance.now() - started) / 1000;
  const threads = settings.threads || sharedLibrary().symbols.specache_threads();
  return { layers: shape.layers, attention, weights: read, engine, threads, seconds };
}

// The same steps by an engine and by the library alone; the difference is the engine's.
async function engineCost(
  model: ModelDescription,
  path: string,
  settings: Settings,
): Promise<number> {
  const whole = await engineStep(path, model.vocabulary, settings.threads);
  if (whole === null) return 0;
  const own = measureModel(model, { ...plain(settings), farFile: null, device: "cpu" }, null, 1);
  return Math.max(0, whole - own.step);
}

// Beside weights whose model is not known a cache without codes does.
function plain(settings: Settings): Settings {
  return { ...settings, mode: "full", rule: "rotated", keyBits: 1, valueBits: 1 };
}

/** The times of a plan's length, with `k` exact rows. */
export function predict(
  { layers, attention, weights, engine }: Measured,
  plan: CachePlan,
  mode: string,
  k: number,
): Predicted {
  const { tokens, step, prefill } = attention;
  const rowBytes = plan.fullBytes / plan.tokens;
  const bytes = mode === "full"
    ? plan.fullBytes
    : plan.parts.codes + plan.parts.sinks + plan.parts.window + k * rowBytes;
  const attended = layers * lineAt(tokens, step, plan.tokens);
  const filled = layers * areaTo(tokens, prefill, plan.tokens);
  const cache = { bytes: Math.min(bytes, plan.fullBytes), bytesPerSecond: 0 };
  const read = { ...cache, bytesPerSecond: cache.bytes / attended };
  if (weights === null) {
    const times = { stepMs: 1000 * attended, prefillMs: 1000 * filled };
    return { tokens: plan.tokens, ...times, weights: null, cache: read, engineMs: 0 };
  }
  // What attention took where the weights were measured is taken out, so that it counts once.
  const behind = weights.tokens;
  const inStep = behind === 0 ? 0 : layers * lineAt(tokens, step, behind);
  const inPrefill = behind === 0 ? 0 : layers * areaTo(tokens, prefill, behind) / behind;
  const own = Math.max(weights.step - inStep, weights.step / 2);
  const token = Math.max(weights.prefillToken - inPrefill, weights.prefillToken / 2);
  return {
    tokens: plan.tokens,
    stepMs: 1000 * (own + attended + engine),
    prefillMs: 1000 * (plan.tokens * token + filled),
    weights: { bytes: weights.bytes, bytesPerSecond: weights.bytes / own },
    cache: read,
    engineMs: 1000 * engine,
  };
}
