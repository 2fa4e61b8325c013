// heat.ts - a heat map: cells coloured by a scale, and the legend of its colours.
import type { EChartsCoreOption } from "echarts/core";
import { categories, TEXT_PIXELS } from "./axes.ts";
import { escape } from "./html.ts";
import { colorOf, type Scale, spread } from "./scale.ts";
import type { Plot } from "./svg.ts";

/** A cell at a column and a row; the text is left out where it has no room. */
export interface Cell {
  readonly column: number;
  readonly row: number;
  readonly value: number;
  readonly text: string;
}

/** What a heat map shows; the first row is on top. */
export interface Heat {
  readonly title: string;
  readonly description: string;
  readonly columns: { readonly name: string; readonly names: readonly string[] };
  readonly rows: { readonly name: string; readonly names: readonly string[] };
  readonly cells: readonly Cell[];
  readonly scale: Scale;
}

// Pixels: of a row, of the widest character of a text, and of the margins.
const ROW_PIXELS = 22;
const CHARACTER_PIXELS = 7;
const TOP = 8;
const BOTTOM = 46;
const LEFT = 62;
const RIGHT = 10;

/** The plot of a heat map. */
export function heatPlot(heat: Heat): Plot {
  const rowPixels = heat.rows.names.length > 16 ? 12 : ROW_PIXELS;
  return {
    title: heat.title,
    description: heat.description,
    height: TOP + BOTTOM + rowPixels * Math.max(heat.rows.names.length, 2),
    option: (width) => heatOption(heat, (width - LEFT - RIGHT) / heat.columns.names.length),
  };
}

function heatOption(heat: Heat, columnPixels: number): EChartsCoreOption {
  const { columns, rows, cells, scale } = heat;
  const roomy = cells.every(({ text }) => text.length * CHARACTER_PIXELS <= columnPixels);
  const { axisLabel, ...columnAxis } = categories(columns.name, 28, columns.names);
  const longest = Math.max(...columns.names.map(({ length }) => length)) + 1;
  // Names at equal steps, as many as have room.
  const every =
    [1, 2, 5, 10, 20, 50].find((step) => longest * CHARACTER_PIXELS <= step * columnPixels) ?? 100;
  return {
    grid: { left: LEFT, right: RIGHT, top: TOP, bottom: BOTTOM },
    xAxis: {
      ...columnAxis,
      axisLabel: { ...axisLabel, interval: (index: number) => index % every === 0 },
    },
    yAxis: { ...categories(rows.name, 46, rows.names), inverse: true },
    series: [{
      type: "custom",
      silent: true,
      data: cells.map(({ column, row }, index) => [column, row, index]),
      renderItem: (_: unknown, api: CellPlace) => {
        const [x, y] = api.coord([api.value(0), api.value(1)]);
        const [width, height] = api.size([1, 1]);
        const { value, text } = cells[api.value(2)];
        const color = colorOf(scale, value);
        const gap = columnPixels > 8 ? 1 : 0;
        return {
          type: "group",
          children: [{
            type: "rect",
            shape: {
              x: x - width / 2,
              y: y - height / 2,
              width: width - gap,
              height: height - gap,
            },
            style: { fill: `var(--${scale.ramp}-${color})` },
          }, ...(roomy && text !== "" ? [label(text, x, y, scale, color)] : [])],
        };
      },
    }],
  };
}

// What the plotting library gives to place an item by.
interface CellPlace {
  value(dimension: number): number;
  coord(place: readonly number[]): [number, number];
  size(extent: readonly number[]): [number, number];
}

function label(text: string, x: number, y: number, { ramp }: Scale, color: number) {
  const fill = `var(--${ramp}-ink-${color})`;
  const font = `${TEXT_PIXELS - 1}px sans-serif`;
  return {
    type: "text",
    style: { text, x, y, align: "center", verticalAlign: "middle", fill, font },
  };
}

/** The legend of a scale: a swatch and a sentence for each step. */
export function scaleLegend(scale: Scale, what: string): string {
  const last = scale.labels.length - 1;
  const items = scale.labels.map((text, step) =>
    `<li><span class="swatch" style="background: var(--${scale.ramp}-${spread(step, last)})">` +
    `</span> ${escape(text)}</li>`
  );
  return `<ul class="legend"><li>${escape(what)}:</li>${items.join("")}</ul>`;
}
