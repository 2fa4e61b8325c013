// svg.ts - an option of the plotting library to one SVG, and figures around it.
import { CustomChart, ScatterChart } from "echarts/charts";
import { GridComponent } from "echarts/components";
import { type EChartsCoreOption, init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { escape } from "./html.ts";

use([CustomChart, ScatterChart, GridComponent, SVGRenderer]);

/** A plot that can be drawn at any width, in pixels. */
export interface Plot {
  readonly title: string;
  /** What it shows, for those who do not see it; the numbers are in tables. */
  readonly description: string;
  readonly height: number;
  option(width: number): EChartsCoreOption;
}

// Widths at which plots are drawn, in pixels: of a page, and of a telephone or one of several.
const WIDE = 860;
const NARROW = 360;

/** A figure of one plot, drawn twice: the style shows what suits the screen. */
export function wideFigure(plot: Plot): string {
  return `<figure>
<figcaption>${escape(plot.title)}</figcaption>
<div class="wide">${svgOf(plot, WIDE)}</div>
<div class="narrow">${svgOf(plot, NARROW)}</div>
</figure>`;
}

/** A figure of one plot that stands beside others. */
export function smallFigure(plot: Plot): string {
  return `<figure class="small">
<figcaption>${escape(plot.title)}</figcaption>
${svgOf(plot, NARROW)}
</figure>`;
}

/** Figures beside each other where the screen has room. */
export function beside(figures: readonly string[]): string {
  return `<div class="beside">\n${figures.join("\n")}\n</div>`;
}

/** The SVG of a plot: no style, script, class or id of its own, so that many fit in a page. */
export function svgOf(plot: Plot, width: number): string {
  const { title, description, height } = plot;
  const chart = init(null, null, { renderer: "svg", ssr: true, width, height });
  try {
    chart.setOption({ animation: false, ...plot.option(width) });
    const name = escape(`${title}. ${description}`);
    return chart.renderToSVGString()
      .replace(/<style\b[^]*?<\/style>/g, "")
      .replace(/ (class|ecmeta_\w+|pointer-events)="[^"]*"/g, "")
      .replace(
        /^<svg[^>]*>/,
        `<svg viewBox="0 0 ${width} ${height}" role="img" ` +
          `xmlns="http://www.w3.org/2000/svg" aria-label="${name}">`,
      )
      .replaceAll(/\n+/g, "\n");
  } finally {
    chart.dispose();
  }
}
