// How long a cancel takes, from the abort to the settled result: SmolLM2, a prompt of 7,000
// tokens that is aborted in each of its pieces and gone on with, then steps that are aborted.
// The native code looks for a cancel between two layers.
import { profileText } from "../../engine/profile_text.ts";
import { Engine, type GenerateOptions, type Session } from "../../mod.ts";
import { smollm2 } from "../../tools/smollm2.ts";
import { assertEquals, assertGreater, assertLess, test } from "../harness.ts";

const TOKENS = 7_000;
const STEPS_ABORTED = 40;
const model = await smollm2();

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

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

function told(what: string, aborts: readonly Abort[], layers: number): void {
  const cancels = aborts.map(({ cancelMs }) => cancelMs);
  const layer = median(aborts.map(({ beforeMs }) => beforeMs)) / layers;
  const [middle, most] = [median(cancels), Math.max(...cancels)].map((ms) => ms.toFixed(1));
  console.log(
    `  ${what}: ${aborts.length} aborts, median ${middle} ms, most ${most} ms; ` +
      `a layer takes ${layer.toFixed(1)} ms`,
  );
}

test("a cancel in a prompt of 7,000 tokens or in a step takes a layer's time", async () => {
  await using engine = await Engine.open({ model, contextTokens: 8_000, profile: "none" });
  const { layers } = engine.model;
  await using session = await engine.session();
  const text = engine.tokenizer!.encode(profileText.repeat(4)).slice(0, TOKENS);
  const pieces: Abort[] = [];
  for (let i = 0; session.length < TOKENS; i++) {
    const ids = i === 0 ? { ids: text } : {};
    const abort = await aborted(session, { ...ids, maxTokens: 0 }, (i * 0.618) % 1);
    if (abort !== null) pieces.push(abort);
  }
  assertEquals(session.length, TOKENS);
  told("prefill", pieces, layers);
  assertGreater(pieces.length, 8);
  const inLayers = pieces.map(({ beforeMs, cancelMs }) => cancelMs / (beforeMs / layers));
  assertLess(median(inLayers), 1, `${inLayers}`);
  assertLess(Math.max(...inLayers), 3, `${inLayers}`); // what else the machine does comes on top

  const steps: Abort[] = [];
  for (let i = 0; i < STEPS_ABORTED; i++) {
    const abort = await aborted(session, { maxTokens: 20, accept: "off" }, (i * 0.618) % 1);
    if (abort !== null) steps.push(abort);
  }
  told("decode", steps, layers);
  assertGreater(steps.length, STEPS_ABORTED / 2);
  // Half a step, if it looked only between steps.
  const inSteps = steps.map(({ beforeMs, cancelMs }) => cancelMs / beforeMs);
  assertLess(median(inSteps), 0.25, `${inSteps}`);
});
