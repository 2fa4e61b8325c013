// tasks.ts - divergence and recall by task, and what the guesses of the next step came to.
import type { EvalReport, EvalRow } from "../rows.ts";
import { modeLegend, type ModeLook } from "./modes.ts";
import { wholeNumber } from "./numbers.ts";
import { pointsPlot, type Quantity } from "./points.ts";
import { wideFigure } from "./svg.ts";

const divergence: Quantity = {
  name: "mean divergence, nats",
  axis: "log",
  value: ({ klMean }) => klMean,
  interval: ({ intervals }) => intervals.klMean,
};
const recall: Quantity = {
  name: "share of answers that came back",
  axis: "share",
  value: ({ recall }) => recall,
  interval: ({ intervals }) => intervals.recall,
};
const guesses: Quantity = {
  name: "share of guesses that were right",
  axis: "share",
  value: ({ guessRight }) => guessRight,
};
const late: Quantity = {
  name: "late rows per step, layer and KV head",
  axis: "amount",
  value: ({ lateRows }) => lateRows,
};
const prefetched: Quantity = {
  name: "prefetched rows per step, layer and KV head",
  axis: "amount",
  value: ({ prefetchedRows }) => prefetchedRows,
};

/** The section on divergence and recall by task. */
export function taskSection({ rows }: EvalReport, looks: readonly ModeLook[]): string {
  const figures = figuresOf(rows, looks, [["Divergence", divergence, losing], ["Recall", recall]]);
  return figures === "" ? "<p>There are no rows.</p>" : `${modeLegend(looks)}\n${figures}`;
}

/** The section on guesses, late and prefetched rows; their numbers are in the table of all rows. */
export function guessSection({ rows }: EvalReport, looks: readonly ModeLook[]): string {
  const figures = figuresOf(rows, looks, [
    ["Guesses right", guesses],
    ["Late rows", late, fetching],
    ["Prefetched rows", prefetched, fetching],
  ]);
  return figures === ""
    ? "<p>No mode guessed, and none fetched rows.</p>"
    : `${modeLegend(looks)}\n${figures}`;
}

type Choice = (row: EvalRow) => boolean;

// Modes that differ nowhere from full, full itself before all, would only fill the plot.
const losing: Choice = ({ klMean }) => klMean !== 0;
const fetching: Choice = ({ lateRows, prefetchedRows }) => lateRows !== 0 || prefetchedRows !== 0;

function figuresOf(
  rows: readonly EvalRow[],
  looks: readonly ModeLook[],
  quantities: readonly (readonly [string, Quantity, Choice?])[],
): string {
  const lengths = [...new Set(rows.map(({ tokens }) => tokens))].sort((a, b) => a - b);
  return quantities.flatMap(([title, quantity, choice]) => {
    const modes = new Set(rows.filter(choice ?? (() => true)).map(({ mode }) => mode));
    const chosen = rows.filter(({ mode }) => modes.has(mode));
    return lengths.flatMap((tokens) => {
      const own = chosen.filter((row) => row.tokens === tokens);
      const plot = pointsPlot(`${title}, ${wholeNumber(tokens)} tokens`, own, looks, quantity);
      return plot === null ? [] : [wideFigure(plot)];
    });
  }).join("\n");
}
