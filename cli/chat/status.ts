// status.ts - what a person is told of an answer, and of the whole chat.
import type { EngineStats } from "../../engine/engine_stats.ts";
import type { CacheStats, GuessCount } from "../../engine/stats.ts";
import { bytesText } from "../output.ts";
import type { Answer } from "./talk.ts";

/** The line after an answer; `verbose` tells what was read for it. */
export function statusLine({ result, guess, full }: Answer, verbose: boolean): string {
  const { cache, timing, usage, stop } = result;
  const left = full ? "the context is full" : `${usage.completionTokens} tokens, as asked`;
  return [
    ...stop === "cancelled" ? ["stopped"] : [],
    ...stop === "length" ? [`cut: ${left}`] : [],
    ...verbose ? [`read ${usage.promptTokens} tokens, ${usage.cachedTokens} held before`] : [],
    nearText(cache),
    guessesText(guess),
    `${timing.tokensPerSecond.toFixed(1)} tokens/s`,
  ].join(", ");
}

function nearText({ nearBytes, fullBytes, ratio }: CacheStats): string {
  return `near ${bytesText(nearBytes)} of ${bytesText(fullBytes)} (ratio ${ratio.toFixed(3)})`;
}

function guessesText({ made, right }: GuessCount): string {
  return made === 0 ? "no guesses" : `guesses ${right} of ${made} right`;
}

/** Lines of /stats. */
export function statsTable(cache: CacheStats, engine: EngineStats): string {
  const { fetch, audit } = cache;
  const rows: [string, string][] = [
    ["mode", cache.mode],
    ["tokens held", String(cache.tokens)],
    ["near", bytesText(cache.nearBytes)],
    ["16-bit cache", bytesText(cache.fullBytes)],
    ["ratio", cache.ratio.toFixed(4)],
    ["near, reserved", bytesText(engine.reservedBytes)],
    ["far, reserved", bytesText(engine.farBytes)],
    ["guesses right", guessesText(cache.guess).replace(/^guesses | right$/g, "")],
    ["accepted", String(cache.guess.accepted)],
    ["rows prefetched", String(cache.prefetchedRows)],
    ["rows late", String(cache.lateRows)],
    ["rows reused", String(cache.reusedRows)],
    ["fetched", bytesText(cache.fetchedBytes)],
    ["fetch hidden", `${fetch.hiddenMs.toFixed(1)} ms`],
    ["fetch waited, late", `${fetch.waitedMs.toFixed(1)} ms, ${fetch.lateMs.toFixed(1)} ms`],
    ["tokens read", String(engine.promptTokens)],
    ["tokens generated", String(engine.completionTokens)],
  ];
  if (audit !== null) rows.push(["lost mass", audit.lostMass?.mean.toFixed(4) ?? "not known yet"]);
  return rows.map(([name, value]) => `  ${name.padEnd(20)}${value}\n`).join("");
}
