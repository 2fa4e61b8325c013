// How long a cancel takes, from the abort to the settled result, in layers: a prompt of 7,000
// tokens to SmolLM2, aborted in each of its pieces and gone on with, then steps of random weights
// in the shape of Llama-3.2-1B (1.3 GB in the cache folder, written once), aborted in their layers
// and in the head that makes their logits. A layer of SmolLM2's steps takes .3 ms, less than the
// result's way back from the worker; here it takes several. A layer's time is that of the piece or
// step just before, so it grows with what else the machine does; bounds are of medians and of nine
// in ten, since one abort waits for a core now and then.
import { LLAMA_1B, shapeModel } from "../../bench/peers/speed/shape_model.ts";
import { profileText } from "../../engine/profile_text.ts";
import { Engine, type GenerateOptions, type Session } from "../../mod.ts";
import { smollm2 } from "../../tools/smollm2.ts";
import { assertEquals, assertGreater, assertLess, test } from "../harness.ts";

const TOKENS = 7_000;
const STEPS_ABORTED = 24; // of each kind

interface Abort {
  /** Milliseconds of the piece or step before the one that was aborted. */
  readonly beforeMs: number;
  /** From the abort to the result. */
  readonly cancelMs: number;
}

/**
 * Aborts a request in its second event's making, at a part of the time that its first took. null:
 * it ended before.
 */
async function aborted(
  session: Session,
  options: GenerateOptions,
  part: number,
): Promise<Abort | null> {
  const controller = new AbortController();
  let [last, beforeMs, abortedAt, events] = [performance.now(), 0, 0, 0];
  const abort = () => {
    abortedAt = performance.now();
    controller.abort();
  };
  const event = () => {
    const now = performance.now();
    [last, beforeMs] = [now, now - last];
    if (++events === 2) setTimeout(abort, part * beforeMs);
  };
  const inPrefill = options.maxTokens === 0;
  const run = session.generate({
    ...options,
    signal: controller.signal,
    ...inPrefill ? { progress: event } : {},
  });
  if (inPrefill) events = 1; // the request's begin
  else for await (const _ of run) event();
  const { stop } = await run.result;
  const cancelMs = performance.now() - abortedAt;
  return stop === "cancelled" ? { beforeMs, cancelMs } : null;
}

/** The number that a share of them is not above. */
function quantile(numbers: readonly number[], share: number): number {
  return numbers.toSorted((a, b) => a - b)[Math.ceil(numbers.length * share) - 1];
}

/** Prints how long the cancels took; in layers, of which a piece or step has so many. */
function inLayers(what: string, aborts: readonly Abort[], layers: number): number[] {
  const times = aborts.map(({ beforeMs, cancelMs }) => cancelMs / (beforeMs / layers));
  const told = (numbers: readonly number[], digits: number) =>
    [0.5, 0.9, 1].map((share) => quantile(numbers, share).toFixed(digits)).join(", ");
  const layer = quantile(aborts.map(({ beforeMs }) => beforeMs), 0.5) / layers;
  console.log(
    `  ${what}: ${aborts.length} aborts; median, nine in ten, most: ` +
      `${told(aborts.map(({ cancelMs }) => cancelMs), 1)} ms, ${told(times, 2)} layers; ` +
      `a layer takes ${layer.toFixed(1)} ms`,
  );
  return times;
}

test("a cancel in a prompt of 7,000 tokens takes less than a layer", async () => {
  const model = await smollm2();
  await using engine = await Engine.open({ model, contextTokens: 8_000, profile: "none" });
  await using session = await engine.session();
  const text = engine.tokenizer!.encode(profileText.repeat(4)).slice(0, TOKENS);
  const pieces: Abort[] = [];
  for (let i = 0; session.length < TOKENS; i++) {
    const ids = i === 0 ? { ids: text } : {};
    const abort = await aborted(session, { ...ids, maxTokens: 0 }, (i * 0.618) % 1);
    if (abort !== null) pieces.push(abort);
  }
  assertEquals(session.length, TOKENS);
  assertGreater(pieces.length, 8);
  const times = inLayers("prefill", pieces, engine.model.layers);
  // Half a layer, if it looked only between two.
  assertLess(quantile(times, 0.5), 0.4, `${times}`);
  assertLess(quantile(times, 0.9), 1, `${times}`);
});

/** How many layers have as many weights as the head. */
function headLayers(): number {
  const { hidden, intermediate, vocabulary, queryHeads, kvHeads, headDim } = LLAMA_1B;
  const attention = 2 * (queryHeads + kvHeads) * headDim * hidden;
  return vocabulary * hidden / (attention + 3 * hidden * intermediate);
}

test("a cancel in a step, in its layers or its head, takes less than a layer", async () => {
  const model = await shapeModel();
  await using engine = await Engine.open({ model, contextTokens: 4_096, profile: "none" });
  await using session = await engine.session();
  const { layers } = LLAMA_1B;
  const stepLayers = layers + headLayers();
  const inSteps = new Map<string, number[]>();
  for (const [what, from, to] of [["layers", 0, layers], ["head", layers, stepLayers]] as const) {
    const steps: Abort[] = [];
    for (let i = 0; i < STEPS_ABORTED; i++) {
      const part = (from + (to - from) * ((i * 0.618) % 1)) / stepLayers;
      const ids = session.length === 0 ? { ids: [1, 2, 3] } : {};
      const abort = await aborted(session, { ...ids, maxTokens: 20, accept: "off" }, part);
      if (abort !== null) steps.push(abort);
    }
    assertGreater(steps.length, STEPS_ABORTED / 2);
    inSteps.set(what, inLayers(`a step's ${what}`, steps, stepLayers));
  }
  // Two, if the head had no look; where a step ends sooner than the last, the next one's begin.
  for (const [what, times] of inSteps) assertLess(quantile(times, 0.5), 1, `${what}: ${times}`);
});
