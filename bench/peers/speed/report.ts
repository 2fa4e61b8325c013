// report.ts - what was measured, as tables.
import { quantile } from "../../../eval/statistics.ts";
import { table } from "../../../eval/table.ts";
import type { AttentionRow } from "./attention.ts";
import type { ChatRow } from "./chat.ts";
import type { Ratio, Times } from "./interleave.ts";
import type { ScanRow } from "./scan.ts";
import type { ShapeRow } from "./shape.ts";

/** Attention of one layer against length. */
export function attentionTable(rows: readonly AttentionRow[]): string {
  const names = rows[0].ratios.map(({ name }) => name);
  return table([
    ["attention, tokens", "ours", "ms", ...names.map((name) => `${name} over ours`)],
    ...rows.map(({ tokens, setting, times, ratios }) => [
      ...[`${tokens / 1024}K`, setting, middle(times[0])],
      ...ratios.map(({ ratio }) => ratioText(ratio)),
    ]),
  ]);
}

/** Scan and top-k. */
export function scanTable(rows: readonly ScanRow[]): string {
  return table([
    ["1,024 of 131,072 codes, one query", "ms", "recall", "over ours"],
    ...rows.map(({ name, ratio, recall, ...times }) => [
      ...[name, middle({ name, ...times }), recall.toFixed(3), ratioText(ratio)],
    ]),
  ]);
}

/** A model end to end. */
export function chatTable(rows: readonly ChatRow[]): string {
  return table([
    ["SmolLM2", "side", "ms a token", "tokens/s", "tokens/s over node-llama-cpp"],
    ...rows.map(({ task, over, ...times }) => [
      ...[task, times.name, middle(times), (1000 / quantile(times.ms, 0.5)).toFixed(1)],
      ratioText(over),
    ]),
  ]);
}

/** Random weights end to end. */
export function shapeTable(rows: readonly ShapeRow[]): string {
  return table([
    ["Llama-3.2-1B's shape", "side", "ms a token", "GB/s", "tokens/s over node-llama-cpp"],
    ...rows.map(({ tokens, over, bytes, ...times }) => [
      ...[`${tokens / 1024}K`, times.name, middle(times)],
      ...[(bytes / quantile(times.ms, 0.5) / 1e6).toFixed(1), ratioText(over)],
    ]),
  ]);
}

/** Median of milliseconds. */
export function middle({ ms }: Times): string {
  return quantile(ms, 0.5).toFixed(3);
}

/** `12.3 [11.9, 12.8]`: median and its 95 % interval. */
export function ratioText({ median, low, high }: Ratio): string {
  return `${median.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;
}
