// tables.ts - the rows of an evaluation: modes side by side, and each row with all its numbers.
import { bytesText } from "../../cli/output.ts";
import type { EvalReport, EvalRow, Interval } from "../rows.ts";
import { datum, escape, folded, scrolling } from "./html.ts";
import { percent, shortNumber, wholeNumber } from "./numbers.ts";

type Text = (value: number) => string;

/** The summary: a line for each task and length, in it the modes side by side. */
export function summaryTable({ rows }: EvalReport): string {
  if (rows.length === 0) return "<p>There are no rows.</p>";
  const modes = [...new Set(rows.map(({ mode }) => mode))];
  const lines = Map.groupBy(rows, ({ task, tokens }) => JSON.stringify([task, tokens]));
  const groups = modes.map((mode) => `<th scope="colgroup" colspan="4">${escape(mode)}</th>`);
  const columns = modes.map(() =>
    `<th scope="col" class="first">recall</th><th scope="col">divergence</th>` +
    `<th scope="col">top-1</th><th scope="col">near</th>`
  );
  const table = `<table>
<colgroup span="2"></colgroup>${modes.map(() => '<colgroup span="4"></colgroup>').join("")}
<thead>
<tr><th scope="col" rowspan="2">task</th><th scope="col" rowspan="2">tokens</th>
${groups.join("\n")}</tr>
<tr>${columns.join("\n")}</tr>
</thead>
<tbody>
${[...lines.values()].map((line) => summaryLine(line, modes)).join("\n")}
</tbody></table>`;
  return `${scrolling("Summary", table)}\n${folded("All numbers of all rows", allTable(rows))}`;
}

function summaryLine(line: readonly EvalRow[], modes: readonly string[]): string {
  const [{ task, tokens }] = line;
  const cells = modes.map((mode) => {
    const row = line.find((row) => row.mode === mode);
    if (row === undefined) return '<td class="first">–</td><td>–</td><td>–</td><td>–</td>';
    const { recall, klMean, top1, ratio, intervals } = row;
    return `<td class="first">${withEnds(recall, intervals.recall, percent)}</td>` +
      `<td>${withEnds(klMean, intervals.klMean, shortNumber)}</td>` +
      `<td>${withEnds(top1, intervals.top1, percent)}</td><td>${datum(ratio, percent)}</td>`;
  });
  return `<tr><th scope="row">${escape(task)}</th><td>${datum(tokens, wholeNumber)}</td>
${cells.join("\n")}</tr>`;
}

function withEnds(value: number | null, ends: Interval | null, text: Text): string {
  if (value === null || ends === null) return datum(value, text);
  return `${datum(value, text)} <small>${datum(ends.low, text)} to ` +
    `${datum(ends.high, text)}</small>`;
}

// Columns of the table of all numbers, behind task and mode.
const columns: readonly (readonly [string, (row: EvalRow) => string])[] = [
  ["tokens", ({ tokens }) => datum(tokens, wholeNumber)],
  ["documents", ({ n }) => datum(n, wholeNumber)],
  ["recall", ({ recall, intervals }) => withEnds(recall, intervals.recall, percent)],
  ["recall lost", (row) => withEnds(row.recallLost, row.intervals.recallLost, percent)],
  ["divergence", ({ klMean, intervals }) => withEnds(klMean, intervals.klMean, shortNumber)],
  ["99th percentile", ({ klP99 }) => datum(klP99, shortNumber)],
  ["largest", ({ klMax }) => datum(klMax, shortNumber)],
  ["top-1", ({ top1, intervals }) => withEnds(top1, intervals.top1, percent)],
  ["perplexity", (row) => withEnds(row.perplexity, row.intervals.perplexity, shortNumber)],
  ["guesses right", ({ guessRight }) => datum(guessRight, percent)],
  ["of the chain", (row) => datum(row.guessRightBySource.chain, percent)],
  ["of lookup", (row) => datum(row.guessRightBySource.lookup, percent)],
  ["tokens per step", ({ tokensPerStep }) => datum(tokensPerStep, shortNumber)],
  ["late rows", ({ lateRows }) => datum(lateRows, shortNumber)],
  ["prefetched rows", ({ prefetchedRows }) => datum(prefetchedRows, shortNumber)],
  ["mass", ({ mass }) => datum(mass, percent)],
  ["lost mass", ({ lostMass }) => datum(lostMass, shortNumber)],
  ["near bytes", (row) => datum(row.nearBytes, (bytes) => bytesText(Math.round(bytes)))],
  ["of full bytes", ({ ratio }) => datum(ratio, percent)],
];

function allTable(rows: readonly EvalRow[]): string {
  const head = columns.map(([name]) => `<th scope="col">${name}</th>`).join("");
  const lines = rows.map((row) =>
    `<tr><th scope="row">${escape(row.task)}</th><td>${escape(row.mode)}</td>` +
    `${columns.map(([, cell]) => `<td>${cell(row)}</td>`).join("")}</tr>`
  );
  return scrolling(
    "All numbers of all rows",
    `<table>
<thead><tr><th scope="col">task</th><th scope="col">mode</th>${head}</tr></thead>
<tbody>
${lines.join("\n")}
</tbody></table>`,
  );
}
