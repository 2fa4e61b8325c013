// front_plot.ts - the plot of divergence against near bytes: modes as points, the front as a line.
import type { EChartsCoreOption } from "echarts/core";
import { bytesText } from "../../cli/output.ts";
import { axis, logAxis, TEXT_PIXELS } from "./axes.ts";
import { clean } from "./html.ts";
import type { ModeLook } from "./modes.ts";
import { wholeNumber } from "./numbers.ts";
import { decadesAround, onLogAxis } from "./scale.ts";
import type { Plot } from "./svg.ts";

/** One mode at one length, all tasks pooled. */
export interface Pooled {
  readonly look: ModeLook;
  /** Documents. */
  readonly n: number;
  /** Means over documents. */
  readonly nearBytes: number;
  readonly ratio: number;
  readonly klMean: number;
  /** Whether it is on the Pareto front. */
  readonly front: boolean;
}

// Pixels of the plot and its margins, and of names: a line, a character on average, and the gap
// to a point.
const HEIGHT = 360;
const MARGINS = { left: 66, right: 28, top: 14, bottom: 52 };
const NAME = { line: 14, character: 7, gap: 9 };

/** The plot of modes at one length. */
export function frontPlot(pooled: readonly Pooled[], tokens: number): Plot {
  const drawn = pooled.filter(drawable);
  const front = drawn.filter((point) => point.front)
    .sort((a, b) => a.nearBytes - b.nearBytes || b.klMean - a.klMean);
  return {
    title: `Divergence against near bytes, ${wholeNumber(tokens)} tokens`,
    description: "Each mode is a point, less of both is better; the line is the Pareto front: " +
      front.map(({ look }) => look.mode).join(", "),
    height: HEIGHT,
    option: (width) => frontOption(drawn, front, width - MARGINS.left - MARGINS.right),
  };
}

// A mode without near bytes has no place on the axis; its row of the table stands.
function drawable({ nearBytes, klMean }: Pooled): boolean {
  return Number.isFinite(nearBytes) && nearBytes > 0 && Number.isFinite(klMean);
}

function frontOption(
  drawn: readonly Pooled[],
  front: readonly Pooled[],
  pixels: number,
): EChartsCoreOption {
  const names = front.map(({ look }) => cut(clean(look.mode), 0.4 * pixels));
  const bytes = axis("near bytes of a document", 30);
  return {
    grid: MARGINS,
    xAxis: {
      ...bytes,
      ...{ type: "log", logBase: 2, ...bytesRange(drawn, front, names, pixels) },
      axisLabel: { ...bytes.axisLabel, formatter: shortBytes },
    },
    yAxis: logAxis("mean divergence, nats", 48, decadesAround(drawn.map((p) => p.klMean))),
    series: [
      lineSeries(front),
      {
        ...{ type: "scatter", silent: true, clip: false, symbolSize: 12 },
        data: drawn.map((point) => ({
          value: place(point),
          symbol: `path://${point.look.outline}`,
          itemStyle: { color: point.look.color, opacity: 1 },
        })),
      },
      nameSeries(front, names),
    ],
  };
}

function place({ nearBytes, klMean }: Pooled): [number, number] {
  return [nearBytes, onLogAxis(klMean)];
}

function cut(name: string, pixels: number): string {
  const room = Math.floor(pixels / NAME.character);
  return name.length <= room ? name : `${name.slice(0, room - 1)}…`;
}

// Powers of two around all points, with room on the left for the names of those on the front.
function bytesRange(
  drawn: readonly Pooled[],
  front: readonly Pooled[],
  names: readonly string[],
  pixels: number,
) {
  const powers = drawn.map(({ nearBytes }) => Math.log2(nearBytes));
  const high = drawn.length === 0 ? 30 : Math.ceil(Math.max(...powers) + 0.1);
  let low = drawn.length === 0 ? 20 : Math.floor(Math.min(...powers) - 0.1);
  const fits = ({ nearBytes }: Pooled, index: number) =>
    pixels * (Math.log2(nearBytes) - low) / (high - low) >=
      names[index].length * NAME.character + NAME.gap;
  // Names take .4 of the pixels at most: a point at the middle has room, so this ends.
  while (!front.every(fits)) low--;
  return { min: 2 ** low, max: 2 ** high };
}

// The front goes from each point to the bytes of the next, then down to it. It is no series of
// lines: that one clips by ids, which would have to differ between the plots of a page.
function lineSeries(front: readonly Pooled[]) {
  const points = (api: PointPlace) =>
    front.flatMap((point, index) => {
      const [x, y] = api.coord(place(point));
      return index === 0 ? [[x, y]] : [[x, api.coord(place(front[index - 1]))[1]], [x, y]];
    });
  return {
    ...{ type: "custom", silent: true, data: front.length === 0 ? [] : [place(front[0])] },
    renderItem: (_: unknown, api: PointPlace) => ({
      ...{ type: "polyline", shape: { points: points(api) } },
      style: { stroke: "var(--quiet)", lineWidth: 1.5, lineDash: [6, 4], fill: "none" },
    }),
  };
}

// Names stand below and left of their points: nothing is better in both, so that place is free.
function nameSeries(front: readonly Pooled[], names: readonly string[]) {
  return {
    ...{
      type: "custom",
      silent: true,
      data: front.map((point, index) => [...place(point), index]),
    },
    renderItem: (_: unknown, api: PointPlace) => {
      const index = api.value(2);
      const [x] = api.coord(place(front[index]));
      const y = heights(front.map((point) => api.coord(place(point))[1]))[index];
      const style = { text: names[index], x: x - NAME.gap, y, align: "right" };
      const looks = { fill: "var(--ink)", font: `${TEXT_PIXELS}px sans-serif` };
      return { type: "text", style: { ...style, ...looks, verticalAlign: "middle" } };
    },
  };
}

interface PointPlace {
  value(dimension: number): number;
  coord(place: readonly number[]): [number, number];
}

// Heights of names of points at falling heights: a line apart, the last above the axis.
function heights(points: readonly number[]): number[] {
  const placed: number[] = [];
  for (const y of points) placed.push(Math.max(y + NAME.gap, (placed.at(-1) ?? 0) + NAME.line));
  let limit = HEIGHT - MARGINS.bottom - NAME.gap;
  for (let index = placed.length - 1; index >= 0; index--) {
    placed[index] = Math.min(placed[index], limit);
    limit = placed[index] - NAME.line;
  }
  return placed;
}

// Powers of two need no digits behind the point.
function shortBytes(bytes: number): string {
  return bytesText(Math.round(bytes)).replace(/\.0+(?= )/, "");
}
