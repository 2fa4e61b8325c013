// text.ts - a plan as a table.
import type { CachePlan } from "../../engine/plan.ts";
import type { Reading } from "../../engine/predict/predict.ts";
import { bytesText } from "../output.ts";
import type { Fit, Plan, Prediction } from "./plan.ts";

/** The table. */
export function planText({ cache, fit, predicted, notPredicted }: Plan): string {
  return [
    ...cacheLines(cache),
    ...fit === null ? [] : ["", ...fitLines(cache, fit)],
    ...predicted === null ? [] : ["", ...predictionLines(cache, predicted)],
    ...notPredicted === undefined ? [] : ["", `no times: ${notPredicted}`],
    "",
  ].join("\n");
}

const row = (name: string, value: string, more = "") =>
  `${name.padEnd(20)}${value.padStart(12)}${more && `   ${more}`}`;

function cacheLines({ parts, ...cache }: CachePlan): string[] {
  const rows: [string, number][] = [
    ...Object.entries(parts).filter(([name]) => name !== "work" && name !== "profile"),
    ["near, one sequence", cache.nearBytes],
    ["far, reserved", cache.farBytes],
    ["16-bit cache", cache.fullBytes],
    ["work", parts.work],
    ["profile", parts.profile],
    ["near, reserved", cache.reservedBytes],
  ];
  return [
    ...rows.map(([name, bytes]) => row(name, bytesText(bytes))),
    row("ratio", cache.ratio.toFixed(4)),
  ];
}

function fitLines(cache: CachePlan, fit: Fit): string[] {
  const { longest, modelTokensMax, changes, inRam } = fit;
  const budget = (name: string, bytes: number, most: number | undefined) =>
    most === undefined ? [] : [
      row(name, bytesText(most), bytes <= most ? "fits" : `${bytesText(bytes)} do not fit`),
    ];
  const limit = longest === modelTokensMax ? "all that the model was made for" : "";
  return [
    ...budget("near budget", cache.reservedBytes, fit.nearBytes),
    ...budget("far budget", cache.farBytes, fit.farBytes),
    row("longest that fits", `${longest}`, longest === 0 ? "not one token" : `tokens ${limit}`)
      .trimEnd(),
    ...changes === null ? [] : changeLines(longest, changes),
    ...inRam && cache.farBytes > (fit.farBytes ?? Infinity)
      ? [`  --far FILE: ${bytesText(cache.farBytes)} of a disk instead of RAM`]
      : [],
  ];
}

function changeLines(longest: number, changes: NonNullable<Fit["changes"]>): string[] {
  const fitting = changes.some(({ fits }) => fits);
  const lines = changes.map(({ flags, reservedBytes, farBytes }) =>
    `  ${flags}: near ${bytesText(reservedBytes)}, far ${bytesText(farBytes)}`
  );
  return [
    fitting || longest > 0 ? "what would fit:" : "nothing fits; what would help:",
    ...longest > 0 ? [`  --tokens ${longest}`] : [],
    ...fitting || longest === 0 ? lines : [],
    ...fitting || longest === 0 || lines.length === 0 ? [] : ["what would help:", ...lines],
  ];
}

function predictionLines(cache: CachePlan, predicted: Prediction): string[] {
  const { stepMs, prefillMs, engineMs, weights, inputs, threads, measuredSeconds } = predicted;
  const own = inputs === 1 ? "" : `, ${inputs} inputs a step`;
  const alone = weights === null ? ", the cache alone: no weights are given" : "";
  return [
    `predicted from what was measured here just now, for ${measuredSeconds.toFixed(1)} s on ` +
    `${threads} threads${own}${alone}`,
    row("a step", timeText(stepMs), `${rateText(1000 / stepMs)} a second`),
    ...weights === null ? [] : [reading("  weights", weights)],
    reading("  codes and rows", predicted.cache),
    ...engineMs === 0 ? [] : [row("  engine", timeText(engineMs), "messages and text")],
    row("prefill", timeText(prefillMs), `${rateText(1000 * cache.tokens / prefillMs)} a second`),
  ];
}

function reading(name: string, { bytes, bytesPerSecond }: Reading): string {
  return row(name, bytesText(Math.round(bytes)), `at ${bytesText(bytesPerSecond)}/s`);
}

const rateText = (perSecond: number) =>
  `${perSecond >= 100 ? perSecond.toFixed(0) : perSecond.toPrecision(3)} tokens`;

function timeText(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 1) return `${ms.toPrecision(3)} ms`;
  if (seconds < 100) return `${seconds.toPrecision(3)} s`;
  const minutes = seconds / 60;
  return minutes < 100 ? `${minutes.toPrecision(3)} min` : `${(minutes / 60).toPrecision(3)} h`;
}
