// depth.ts - recall and divergence by place of the asked fact and length of the prompt.
import type { EvalPlace, EvalReport } from "../rows.ts";
import { mean } from "../statistics.ts";
import { heatPlot, scaleLegend } from "./heat.ts";
import { datum, escape, folded, scrolling } from "./html.ts";
import { percent, shortNumber, wholeNumber } from "./numbers.ts";
import { lossScale, type Scale, shareScale } from "./scale.ts";
import { beside, smallFigure } from "./svg.ts";

const DEPTHS = 10;

/** Documents of a mode whose fact lies in one tenth of the text, at one length. */
interface Bin {
  readonly mode: string;
  readonly tokens: number;
  /** Tenth of the text, 0 its beginning. */
  readonly depth: number;
  readonly n: number;
  readonly recall: number;
  readonly klMean: number;
}

/** The section on depth and length; all tasks with a fact at a place are pooled. */
export function depthSection({ places }: EvalReport): string {
  if (places.length === 0) return "<p>No task of this evaluation has a fact at a place.</p>";
  const bins = binsOf(places);
  const tokens = [...new Set(bins.map((bin) => bin.tokens))].sort((a, b) => a - b);
  const modes = [...new Set(bins.map((bin) => bin.mode))];
  const shares = shareScale();
  const losses = lossScale(bins.map(({ klMean }) => klMean));
  const figures = (value: "recall" | "klMean", scale: Scale) =>
    beside(modes.map((mode) => {
      const own = bins.filter((bin) => bin.mode === mode);
      return smallFigure(depthPlot(mode, own, tokens, value, scale));
    }));
  return `<h3>Recall</h3>
${scaleLegend(shares, "Facts recalled")}
${figures("recall", shares)}
<h3>Divergence</h3>
${scaleLegend(losses, "Mean divergence, nats")}
${figures("klMean", losses)}
${folded("Recall and divergence by depth as a table", depthTable(bins))}`;
}

function binsOf(places: readonly EvalPlace[]): Bin[] {
  const groups = Map.groupBy(places, ({ mode, tokens, depth }) => {
    return JSON.stringify([mode, tokens, depthOf(depth)]);
  });
  const bins = [...groups.values()].map((group) => ({
    ...{ mode: group[0].mode, tokens: group[0].tokens, depth: depthOf(group[0].depth) },
    n: group.length,
    recall: mean(group.map(({ recalled }) => Number(recalled))),
    klMean: mean(group.map(({ klMean }) => klMean)),
  }));
  const modes = [...new Set(places.map(({ mode }) => mode))];
  return bins.sort((a, b) =>
    modes.indexOf(a.mode) - modes.indexOf(b.mode) || a.tokens - b.tokens || a.depth - b.depth
  );
}

// The end of the text, 1, belongs to the last tenth.
function depthOf(depth: number): number {
  return Math.min(Math.max(Math.floor(depth * DEPTHS), 0), DEPTHS - 1);
}

function depthName(depth: number): string {
  return `${depth * 100 / DEPTHS}–${(depth + 1) * 100 / DEPTHS} %`;
}

function depthPlot(
  mode: string,
  bins: readonly Bin[],
  tokens: readonly number[],
  value: "recall" | "klMean",
  scale: Scale,
) {
  const text = value === "recall"
    ? (share: number) => `${Math.round(100 * share)} %`
    : (nats: number) => nats === 0 ? "0" : nats.toPrecision(1);
  const what = value === "recall" ? "share of facts recalled" : "mean divergence in nats";
  return heatPlot({
    title: mode,
    description: `Heat map of the ${what}, by length of the prompt and depth of the fact`,
    columns: { name: "tokens of the prompt", names: tokens.map(wholeNumber) },
    rows: { name: "depth of the fact", names: [...Array(DEPTHS).keys()].map(depthName) },
    cells: bins.map((bin) => ({
      ...{ column: tokens.indexOf(bin.tokens), row: bin.depth, value: bin[value] },
      text: text(bin[value]),
    })),
    scale,
  });
}

function depthTable(bins: readonly Bin[]): string {
  const rows = bins.map(({ mode, tokens, depth, n, recall, klMean }) =>
    `<tr><th scope="row">${escape(mode)}</th><td>${datum(tokens, wholeNumber)}</td>` +
    `<td>${depthName(depth)}</td><td>${datum(n, wholeNumber)}</td>` +
    `<td>${datum(recall, percent)}</td><td>${datum(klMean, shortNumber)}</td></tr>`
  );
  return scrolling(
    "Recall and divergence by depth",
    `<table>
<thead><tr><th scope="col">mode</th><th scope="col">tokens</th><th scope="col">depth</th>
<th scope="col">documents</th><th scope="col">recall</th>
<th scope="col">divergence, nats</th></tr></thead>
<tbody>
${rows.join("\n")}
</tbody></table>`,
  );
}
