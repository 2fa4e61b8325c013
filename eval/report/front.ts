// front.ts - divergence against near bytes at one length, with the Pareto front of the modes.
import { bytesText } from "../../cli/output.ts";
import { paretoFront } from "../pareto.ts";
import type { EvalReport, EvalRow } from "../rows.ts";
import { frontPlot, type Pooled } from "./front_plot.ts";
import { datum, escape, scrolling } from "./html.ts";
import { modeLegend, type ModeLook } from "./modes.ts";
import { percent, shortNumber, wholeNumber } from "./numbers.ts";
import { wideFigure } from "./svg.ts";

/** The section on near bytes: a plot and a table at each length. */
export function frontSection({ rows }: EvalReport, looks: readonly ModeLook[]): string {
  if (rows.length === 0) return "<p>There are no rows.</p>";
  const lengths = [...new Set(rows.map(({ tokens }) => tokens))].sort((a, b) => a - b);
  const parts = lengths.map((tokens) => {
    const pooled = pool(rows.filter((row) => row.tokens === tokens), looks);
    return `${wideFigure(frontPlot(pooled, tokens))}\n${frontTable(pooled, tokens)}`;
  });
  return `${modeLegend(looks)}\n${parts.join("\n")}`;
}

function pool(rows: readonly EvalRow[], looks: readonly ModeLook[]): Pooled[] {
  const pooled = looks.flatMap((look) => {
    const own = rows.filter(({ mode }) => mode === look.mode);
    if (own.length === 0) return [];
    const n = own.reduce((sum, row) => sum + row.n, 0);
    const mean = (value: (row: EvalRow) => number) =>
      own.reduce((sum, row) => sum + row.n * value(row), 0) / n;
    return [{
      ...{ look, n, nearBytes: mean((row) => row.nearBytes), ratio: mean((row) => row.ratio) },
      klMean: mean((row) => row.klMean),
    }];
  });
  const front = new Set(
    paretoFront(pooled.map(({ nearBytes, klMean }) => ({ cost: nearBytes, loss: klMean }))),
  );
  return pooled.map((point, index) => ({ ...point, front: front.has(index) }));
}

function frontTable(pooled: readonly Pooled[], tokens: number): string {
  const rows = pooled.map(({ look, n, nearBytes, ratio, klMean, front }) =>
    `<tr><th scope="row">${escape(look.mode)}</th><td>${datum(n, wholeNumber)}</td>` +
    `<td>${datum(nearBytes, (bytes) => bytesText(Math.round(bytes)))}</td>` +
    `<td>${datum(ratio, percent)}</td><td>${datum(klMean, shortNumber)}</td>` +
    `<td>${front ? "yes" : "no"}</td></tr>`
  );
  return scrolling(
    `Modes at ${wholeNumber(tokens)} tokens`,
    `<table>
<thead><tr><th scope="col">mode</th><th scope="col">documents</th><th scope="col">near bytes</th>
<th scope="col">of full bytes</th><th scope="col">divergence, nats</th>
<th scope="col">on the front</th></tr></thead>
<tbody>
${rows.join("\n")}
</tbody></table>`,
  );
}
