// points.ts - points with intervals by task: a band for each task, in it a line for each mode.
import type { EChartsCoreOption } from "echarts/core";
import type { EvalRow, Interval } from "../rows.ts";
import { axis, categories, logAxis } from "./axes.ts";
import type { ModeLook } from "./modes.ts";
import { decadesAround, onLogAxis } from "./scale.ts";
import type { Plot } from "./svg.ts";

/** What of a row is drawn; null is left out. */
export interface Quantity {
  readonly name: string;
  readonly axis: "log" | "share" | "amount";
  value(row: EvalRow): number | null;
  interval?(row: EvalRow): Interval | null;
}

interface Point {
  readonly look: ModeLook;
  readonly task: string;
  readonly value: number;
  readonly ends: Interval | null;
}

// Pixels: of a mode's line in a band, between bands, and of margins.
const LINE_PIXELS = 12;
const BAND_GAP = 10;
const TOP = 8;
const BOTTOM = 50;
const RIGHT = 18;

/** The plot of a quantity by task and mode, of rows at one length; null if none has a value. */
export function pointsPlot(
  title: string,
  rows: readonly EvalRow[],
  looks: readonly ModeLook[],
  quantity: Quantity,
): Plot | null {
  const points = pointsOf(rows, looks, quantity);
  if (points.length === 0) return null;
  const drawn = looks.filter((look) => points.some((point) => point.look === look));
  const tasks = [...new Set(points.map(({ task }) => task))];
  return {
    title,
    description: `${quantity.name} of each mode by task` +
      (points.some(({ ends }) => ends) ? ", with 95 % intervals" : ""),
    height: TOP + BOTTOM + tasks.length * (drawn.length * LINE_PIXELS + BAND_GAP),
    option: (width) => pointsOption(points, tasks, drawn, quantity, width),
  };
}

function pointsOf(
  rows: readonly EvalRow[],
  looks: readonly ModeLook[],
  quantity: Quantity,
): Point[] {
  return rows.flatMap((row) => {
    const value = quantity.value(row);
    const look = looks.find(({ mode }) => mode === row.mode)!;
    if (value === null || !Number.isFinite(value)) return [];
    return [{ look, task: row.task, value, ends: quantity.interval?.(row) ?? null }];
  });
}

function pointsOption(
  points: readonly Point[],
  tasks: readonly string[],
  drawn: readonly ModeLook[],
  quantity: Quantity,
  width: number,
): EChartsCoreOption {
  const left = width < 500 ? 92 : 120;
  const place = quantity.axis === "log" ? onLogAxis : (value: number) => value;
  // Lines of a band go down from its middle's half height, in the order of the legend.
  const offset = (look: ModeLook) => (drawn.indexOf(look) - (drawn.length - 1) / 2) * LINE_PIXELS;
  return {
    grid: { left, right: RIGHT, top: TOP, bottom: BOTTOM },
    xAxis: valueAxis(points, quantity),
    yAxis: {
      ...categories("", 0, tasks, left - 14),
      inverse: true,
      splitLine: { show: true, lineStyle: { color: "var(--line)" } },
    },
    series: [
      intervalSeries(points, tasks, place, offset),
      ...drawn.map((look) => ({
        ...{
          type: "scatter",
          silent: true,
          clip: false,
          symbolSize: 10,
          symbol: `path://${look.outline}`,
        },
        symbolOffset: [0, offset(look)],
        itemStyle: { color: look.color, opacity: 1 },
        data: points.filter((point) => point.look === look)
          .map(({ value, task }) => [place(value), tasks.indexOf(task)]),
      })),
    ],
  };
}

function intervalSeries(
  points: readonly Point[],
  tasks: readonly string[],
  place: (value: number) => number,
  offset: (look: ModeLook) => number,
) {
  const known = points.filter(({ ends }) =>
    ends !== null && Number.isFinite(ends.low) && Number.isFinite(ends.high)
  );
  return {
    ...{ type: "custom", silent: true, data: known.map((_, index) => [0, 0, index]) },
    // The ends are placed here, not by the data: the axis then takes its range from the option.
    renderItem: (_: unknown, api: PointPlace) => {
      const { look, task, ends } = known[api.value(2)];
      const row = tasks.indexOf(task);
      const [low, y] = api.coord([place(ends!.low), row]);
      const [high] = api.coord([place(ends!.high), row]);
      const shape = { x1: low, x2: high, y1: y + offset(look), y2: y + offset(look) };
      return { type: "line", shape, style: { stroke: look.color, lineWidth: 2 } };
    },
  };
}

interface PointPlace {
  value(dimension: number): number;
  coord(place: readonly number[]): [number, number];
}

function valueAxis(points: readonly Point[], quantity: Quantity) {
  const all = points.flatMap(({ value, ends }) => ends ? [value, ends.low, ends.high] : [value]);
  if (quantity.axis === "log") return logAxis(quantity.name, 30, decadesAround(all));
  const looks = axis(quantity.name, 30);
  if (quantity.axis === "amount") return { ...looks, type: "value", min: 0 };
  const formatter = (share: number) => `${Math.round(100 * share)} %`;
  return { ...looks, type: "value", min: 0, max: 1, axisLabel: { ...looks.axisLabel, formatter } };
}
