// heads.ts - losses of attention by layer and KV head: a heat map a mode, and their table.
import type { EvalHead, EvalReport } from "../rows.ts";
import { heatPlot, scaleLegend } from "./heat.ts";
import { datum, escape, folded, scrolling } from "./html.ts";
import { percent, shortNumber } from "./numbers.ts";
import { lossScale, massScale, type Scale } from "./scale.ts";
import { beside, smallFigure } from "./svg.ts";

type Loss = "lostMass" | "outputError" | "mass";

const titles: Readonly<Record<Loss, readonly [string, string]>> = {
  lostMass: ["Lost mass", "share of the exact attention mass that went to other tokens"],
  outputError: ["Error of the output", "mean relative error of the attention output"],
  mass: ["Mass of the exact set", "exact attention mass of the exact set over the best one's"],
};

/** The section on layers and heads. */
export function headSection({ heads }: EvalReport): string {
  if (heads.length === 0) return "<p>No layer was measured by itself.</p>";
  const scales: readonly (readonly [Loss, Scale])[] = [
    ["lostMass", lossScale(heads.map(({ lostMass }) => lostMass))],
    ["outputError", lossScale(heads.map(({ outputError }) => outputError))],
    ["mass", massScale()],
  ];
  const parts = scales.map(([loss, scale]) => lossPart(heads, loss, scale));
  return `${parts.join("\n")}\n${folded("All layers and heads as a table", headTable(heads))}`;
}

function lossPart(heads: readonly EvalHead[], loss: Loss, scale: Scale): string {
  const known = heads.filter((head) => Number.isFinite(head[loss]));
  const [title, what] = titles[loss];
  if (known.length === 0) return `<h3>${title}</h3>\n<p>No mode has codes.</p>`;
  const names = (count: number) => [...Array(count).keys()].map(String);
  const layers = names(1 + Math.max(...heads.map(({ layer }) => layer)));
  const kvHeads = names(1 + Math.max(...heads.map(({ head }) => head)));
  const figures = [...new Set(known.map(({ mode }) => mode))].map((mode) =>
    smallFigure(heatPlot({
      title: mode,
      description: `Heat map of the ${what}, by layer and KV head`,
      columns: { name: "layer", names: layers },
      rows: { name: "KV head", names: kvHeads },
      cells: known.filter((head) => head.mode === mode)
        .map((head) => ({ column: head.layer, row: head.head, value: head[loss]!, text: "" })),
      scale,
    }))
  );
  return `<h3>${title}</h3>\n${scaleLegend(scale, capital(what))}\n${beside(figures)}`;
}

function capital(text: string): string {
  return text[0].toUpperCase() + text.slice(1);
}

function headTable(heads: readonly EvalHead[]): string {
  const rows = heads.map(({ mode, layer, head, mass, lostMass, outputError }) =>
    `<tr><th scope="row">${escape(mode)}</th><td>${datum(layer, String)}</td>` +
    `<td>${datum(head, String)}</td><td>${datum(lostMass, shortNumber)}</td>` +
    `<td>${datum(outputError, shortNumber)}</td><td>${datum(mass, percent)}</td></tr>`
  );
  return scrolling(
    "Losses by layer and head",
    `<table>
<thead><tr><th scope="col">mode</th><th scope="col">layer</th><th scope="col">KV head</th>
<th scope="col">lost mass</th><th scope="col">error of the output</th>
<th scope="col">mass of the exact set</th></tr></thead>
<tbody>
${rows.join("\n")}
</tbody></table>`,
  );
}
